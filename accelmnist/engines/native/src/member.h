// One thread of the team: what it sees, which panels are its own, and a step's images as bytes.

#pragma once

#include "images.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct Member {
    const Workspace& space;
    const Epoch& job;
    const ThreadSpace& own;
    const int thread;

    Member(const Workspace& space, int thread)
        : space(space), job(*space.job), own(space.spaces[thread]), thread(thread) {}

    template <class Function>
    void for_own_panels(const LayerSpace& layer, Function function) const {
        for (int number = 0; number < layer.panel_count; ++number)
            if (layer.panels[number].owner == thread) function(layer.panels[number]);
    }

    // The images of a step from `first` on.
    Images images_of(int64_t step, int64_t first) const {
        const int64_t from = step * job.batch + first;
        if (!space.starts) return {job.images.data + from * kPixels, nullptr};
        return {job.images.data, space.starts + from};
    }

    int64_t images_in(int64_t chunk) const {
        const int64_t left = job.batch - chunk * kChunk;
        return left < kChunk ? left : kChunk;
    }

    // Prefetches one of some parts of as many images as the chunk has, those that come after it: they lie at random, so
    // the processor can't guess them.
    void prefetch_images(int64_t step, int64_t chunk, int part, int parts) const {
        if (!space.starts) return;
        const int64_t count = images_in(chunk), from = step * job.batch + chunk * kChunk + count;
        const int64_t until = from + count * (part + 1) / parts;
        asm volatile("");  // GCC drops calls of a function that only prefetches
        for (int64_t at = from + count * part / parts; at < (until < job.order.size ? until : job.order.size); ++at)
            for (int byte = 0; byte < kPixels; byte += static_cast<int>(kLine))
                __builtin_prefetch(job.images.data + int64_t{space.starts[at]} * kPixels + byte, 0, 2);
    }

    const LayerSpace& last() const { return space.layers[space.layer_count - 1]; }
    bool is_last(int number) const { return number + 1 == space.layer_count; }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
