// Logits without training: every thread has its own copy of the weights and takes the next chunk of images until none
// is left. What a thread computes does not depend on which chunks it took.

#pragma once

#include "train.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct Classifier {
    Workspace& space;
    Epoch& job;  // what the workspace was made for; its batch is the chunk's
    const Trainer trainer;

    Classifier(Workspace& space, Epoch& job) : space(space), job(job), trainer(space, nullptr, 0) {}

    void classify(int64_t start, const uint8_t* images, float* logits) const {
        write_records(images + start * kPixels, 0, job.batch, *job.pixels);
        for (int64_t image = 0; image < job.batch; ++image) space.starts[image] = job.pixels->starts[image];
        find_rows(trainer.own.by_image, *job.pixels, space.starts, job.batch);
        trainer.forward(0, false);
        if (space.has_head) trainer.add_partial_logits(0);
        const float* rows = space.has_head ? trainer.own.logits : trainer.last().panels[0].values;
        for (int64_t image = 0; image < job.batch; ++image)
            std::memcpy(logits + (start + image) * kClasses, rows + image * kPaddedClasses, sizeof(float) * kClasses);
    }

    void run(const Classification& all, Counter& counter) const {
        trainer.take_weights();
        const int64_t images = all.images.size / kPixels, chunk = job.batch;
        for (int64_t start = next(counter) * chunk; start < images; start = next(counter) * chunk) {
            job.batch = images - start < chunk ? images - start : chunk;
            classify(start, all.images.data, all.logits.data);
        }
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
