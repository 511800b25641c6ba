// The memory that one thread needs to classify a chunk of images with weights that others read too.

#pragma once

#include <vector>

#include "arena.h"
#include "workspace.h"

namespace accelmnist {

// A workspace for the forward pass alone of at most `images` images: activations, lists and logits are its own, weights
// and biases are those of `weights`, which must outlive it. Throws std::bad_alloc.
class Seat {
public:
    Seat(const Workspace& weights, int64_t images);
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

    // The workspace for `images` images, of which nothing but what they need is touched.
    const Workspace& for_images(int64_t images);

private:
    void add_layer(const LayerSpace& layer);
    void place(Arena& arena, int64_t images);
    void place_panel(Arena& arena, Panel& panel, int64_t images, bool is_last);

    PixelStore pixels_;
    Epoch job_;
    std::vector<LayerSpace> layers_;
    std::vector<std::vector<Panel>> panels_;
    ThreadSpace space_{};
    Workspace workspace_;
    Memory memory_;
};

}  // namespace accelmnist
