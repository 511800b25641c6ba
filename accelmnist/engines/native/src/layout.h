// The division of a job's layers into panels and blocks, and their memory.

#pragma once

#include <vector>

#include "arena.h"
#include "workspace.h"

namespace accelmnist {

// A workspace and everything that it points to, for vectors of `lanes` floats and panels of at most `panel_floats`.
// Throws std::bad_alloc.
class Layout {
public:
    Layout(const Epoch& job, int lanes, int panel_floats);

    // Copies and checks the order, as starts of records, and the labels; returns the problem, or nullptr.
    const char* copy_indexes();

    Workspace workspace;

private:
    bool is_bf16() const { return workspace.job->precision == Precision::bf16; }
    void allocate(Arena& arena);
    void allocate_pairs(Arena& arena, LayerSpace& layer, bool is_first, bool is_last);
    void allocate_panel(Arena& arena, Panel& panel, const LayerSpace& layer, bool is_last);
    void allocate_rows(Arena& arena, PixelRows& rows);
    void allocate_thread(Arena& arena, ThreadSpace& space);

    int64_t batch_;
    std::vector<LayerSpace> layers_;
    std::vector<std::vector<Panel>> panels_;
    std::vector<ThreadSpace> spaces_;
    std::vector<PixelRows> by_pixel_[kBuffers];
    Memory memory_;
};

void allocate_pixels(Arena& arena, ThreadSpace& space, int64_t images);
void allocate_values(Arena& arena, Pair*& values, const LayerPairs& pairs, int64_t images);
int64_t padded_images(int64_t images);
void allocate_image_rows(Arena& arena, ImageRows& rows, int64_t images);

// Returns the sizes of a layer's pairs, as yet without memory.
LayerPairs pairs_of(const LayerSpace& layer);

// Returns the panels of a layer of `units`, shared among `threads` in whole vectors of `lanes` floats.
std::vector<Panel> panels_of(int units, int threads, int lanes, int panel_floats);

}  // namespace accelmnist
