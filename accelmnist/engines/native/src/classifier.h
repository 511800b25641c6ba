// A network's weights in the form that the kernels read, made once for many calls.
//
// The weights never change, so all threads and calls read the same ones: they lie in the last-level cache once. A call
// writes into scratch memory, one InferenceScratch a thread. Calls may come from several threads at once: each takes
// idle scratches and makes those that are missing, so that none waits for another. As many scratches are kept as were
// ever in use at the same time, so that later calls allocate nothing.

#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine.h"
#include "layout.h"
#include "inference_scratch.h"

namespace accelmnist {

class Classifier {
public:
    Classifier(const Model& model, const Kernels& kernels);  // throws std::bad_alloc
    Classifier(const Classifier&) = delete;
    Classifier& operator=(const Classifier&) = delete;

    // Writes the logits; returns why that is impossible, or nullptr. Throws std::bad_alloc. The logits do not depend,
    // to the bit, on the number of threads or on which images come together.
    const char* classify(const Classification& job);

private:
    class ScratchLease;

    int threads_for(int64_t images) const;

    const Kernels& kernels_;
    const int threads_;
    const double min_images_per_thread_;
    Epoch job_;  // of no images
    const Layout weights_;
    std::mutex mutex_;  // guards idle_
    std::vector<std::unique_ptr<InferenceScratch>> idle_;
};

const char* make_classifier(const Model& model, Level level, std::unique_ptr<Classifier>& classifier);

}  // namespace accelmnist
