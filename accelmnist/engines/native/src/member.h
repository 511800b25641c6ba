// One thread of the team: what it sees, and which panels are its own.

#pragma once

#include "workspace.h"

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

    const LayerSpace& last() const { return space.layers[space.layer_count - 1]; }
    bool is_last(int number) const { return number + 1 == space.layer_count; }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
