// What one level of instructions offers: the same sources, compiled for it. A level's file includes this after naming
// itself. Nothing of the standard library that makes code of its own may be used below: the linker keeps one copy of
// such code, and it could be the one for a processor that is not there.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "classify.h"
#include "engine.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

static void train_thread(const Workspace& space, Barrier* barrier, int thread) {
    const TinyIsZero tiny_is_zero;
    Trainer(space, barrier, thread).run();
}

static void take_weights(const Workspace& space) { Trainer(space, nullptr, 0).take_weights(); }

static void classify_images(const Workspace& space, const uint8_t* images, float* logits) {
    const TinyIsZero tiny_is_zero;
    classify(space, images, logits);
}

extern const Kernels kKernels = {
    kLanes, ACCELMNIST_PANEL_FLOATS, write_records, train_thread, take_weights, classify_images,
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
