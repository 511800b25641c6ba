// Inference: the logits of a chunk of images, by one thread.

#pragma once

#include "train.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Writes the logits (batch, 10) of `images` (batch, 784); the batch is that of the workspace's job.
static void classify(const Workspace& space, const uint8_t* images, float* logits) {
    const Trainer trainer(space, nullptr, 0);
    const Epoch& job = *space.job;
    write_records(images, 0, job.batch, *job.pixels);
    find_rows(trainer.own.by_image, *job.pixels, job.pixels->starts, job.batch);
    trainer.forward(0, false);
    if (space.has_head) trainer.add_partial_logits(0);
    const float* rows = space.has_head ? trainer.own.logits : trainer.last().panels[0].values;
    for (int64_t image = 0; image < job.batch; ++image)
        std::memcpy(logits + image * kClasses, rows + image * kPaddedClasses, sizeof(float) * kClasses);
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
