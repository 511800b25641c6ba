// The native code's calls, and the instruction levels that it is compiled for. Classification is in classifier.h.

#pragma once

#include <memory>

#include "job.h"
#include "pixels.h"
#include "team.h"
#include "workspace.h"

namespace accelmnist {

struct Kernels {
    int lanes;
    int panel_floats;
    void (*write_records)(const uint8_t* images, int64_t from, int64_t until, const PixelSet& set);
    void (*train)(const Workspace& space, Barrier* barrier, int thread);
    void (*load_weights)(const Workspace& space);
    void (*classify)(const Workspace& space, float* logits);
};

enum class Level : int { plain, avx2, avx512, avx512bf16, amx, count };

const char* name_of(Level level);
const Kernels* kernels_of(Level level);  // nullptr if they are not built
const char* why_not(Level level);  // why it can't run here; nullptr if it can
bool runs_here(Level level);
Level best_level();

constexpr const char* kNoThreads = "the system gives no more threads";
constexpr const char* kNoLevel = "this processor lacks the instructions";

// These run the job and return why it can't be run, or nullptr. They throw std::bad_alloc if there is no memory.
const char* list_pixels(const Listing& job, Level level, std::unique_ptr<PixelStore>& store);
const char* train(const Epoch& job, Level level);

}  // namespace accelmnist
