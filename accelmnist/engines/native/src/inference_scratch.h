// The memory that one thread needs to classify a chunk of images with shared weights.

#pragma once

#include <vector>

#include "arena.h"
#include "workspace.h"

namespace accelmnist {

// A workspace for the forward pass of at most `images` images: activations, lists and logits are its own; weights and
// biases are those of `weights`, which must outlive it. Throws std::bad_alloc.
class InferenceScratch {
public:
    InferenceScratch(const Workspace& weights, int64_t images);
    InferenceScratch(const InferenceScratch&) = delete;
    InferenceScratch& operator=(const InferenceScratch&) = delete;

    // Returns the workspace for the images (count, 784) at `images`, which touch only the memory that they need.
    const Workspace& for_images(const uint8_t* images, int64_t count);

private:
    bool is_bf16() const { return job_.precision == Precision::bf16; }
    void add_layer(const LayerSpace& layer);
    void allocate(Arena& arena, int64_t images);

    PixelStore pixels_;
    Epoch job_;
    std::vector<LayerSpace> layers_;
    std::vector<std::vector<Panel>> panels_;
    ThreadSpace space_{};
    Workspace workspace_;
    Memory memory_;
};

}  // namespace accelmnist
