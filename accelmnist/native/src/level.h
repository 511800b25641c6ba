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

static void classify_thread(Workspace& space, Epoch& job, const Classification& all, Counter& counter) {
    const TinyIsZero tiny_is_zero;
    Classifier(space, job).run(all, counter);
}

extern const Kernels kKernels = {kLanes, ACCELMNIST_PANEL_FLOATS, write_records, train_thread, classify_thread};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
