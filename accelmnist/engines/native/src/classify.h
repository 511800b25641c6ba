// Inference: the logits of a chunk of images, by one thread.

#pragma once

#include "train.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Writes the logits (batch, 10) of the images (batch, 784) of the workspace's job.
template <class Products>
static void classify(const Workspace& space, float* logits) {
    const Trainer<Products> trainer(space, nullptr, 0);
    const Epoch& job = *space.job;
    trainer.products.take_images();
    trainer.forward(0, false);
    if (space.has_head) trainer.add_partial_logits(0);
    const float* rows = space.has_head ? trainer.own.logits : trainer.me.last().panels[0].values;
    for (int64_t image = 0; image < job.batch; ++image)
        std::memcpy(logits + image * kClasses, rows + image * kPaddedClasses, sizeof(float) * kClasses);
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
