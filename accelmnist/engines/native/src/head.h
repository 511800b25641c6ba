// The output layer after hidden ones, and the loss.
//
// The layer is narrow (ten units), so its weights are split by input: each panel of the last hidden layer owns the
// weights from its units to the ten outputs and adds its part to every logit. A row of logits is padded to 16 floats.

#pragma once

#include "update.h"
#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

constexpr int kHeadVectors = kPaddedClasses / kLanes;  // of a row of logits

static void transpose_head(const Panel& panel) {
    for (int unit = 0; unit < panel.width; ++unit)
        for (int label = 0; label < kClasses; ++label)
            panel.head_transposed[unit * kPaddedClasses + label] = panel.head[label * panel.width + unit];
}

// logits += values * head, for `kImages` images.
template <int kImages>
INLINE void add_logits_of(const Panel& panel, const float* values, float* logits) {
    Floats sums[kImages][kHeadVectors];
    for (int image = 0; image < kImages; ++image)
        for (int vector = 0; vector < kHeadVectors; ++vector)
            sums[image][vector] = load(logits + image * kPaddedClasses + vector * kLanes);
    for (int unit = 0; unit < panel.width; ++unit) {
        Floats weights[kHeadVectors];
        for (int vector = 0; vector < kHeadVectors; ++vector)
            weights[vector] = load(panel.head_transposed + unit * kPaddedClasses + vector * kLanes);
        for (int image = 0; image < kImages; ++image) {
            const Floats value = broadcast(values[image * panel.width + unit]);
            for (int vector = 0; vector < kHeadVectors; ++vector) sums[image][vector] += value * weights[vector];
        }
    }
    for (int image = 0; image < kImages; ++image)
        for (int vector = 0; vector < kHeadVectors; ++vector)
            store(logits + image * kPaddedClasses + vector * kLanes, sums[image][vector]);
}

static void add_logits(const Panel& panel, int64_t batch, float* logits) {
    constexpr int kAtOnce = 4;
    int64_t image = 0;
    for (; image + kAtOnce <= batch; image += kAtOnce)
        add_logits_of<kAtOnce>(panel, panel.values + image * panel.width, logits + image * kPaddedClasses);
    for (; image < batch; ++image)
        add_logits_of<1>(panel, panel.values + image * panel.width, logits + image * kPaddedClasses);
}

// The gradient at a panel's sums at `at`, from the gradient at their activations.
INLINE Floats through_activation(const Panel& panel, int64_t at, Floats gradient, float dropout_scale) {
    if (panel.activation_grads) return gradient * load(panel.activation_grads + at);
    return load(panel.values + at) == 0.0f ? Floats{} : gradient * dropout_scale;
}

// The gradient at the sums of a panel of the last hidden layer, from the gradient at the logits.
static void backward_from_head(const Panel& panel, int64_t batch, const float* logits, float dropout_scale) {
    for (int64_t image = 0; image < batch; ++image) {
        const float* row = logits + image * kPaddedClasses;
        Floats gradients[kClasses];
        for (int label = 0; label < kClasses; ++label) gradients[label] = broadcast(row[label]);
        for (int vector = 0; vector < panel.vectors; ++vector) {
            const int64_t at = image * panel.width + vector * kLanes;
            const float* weights = panel.head + vector * kLanes;
            Floats even{}, odd{};
            for (int label = 0; label < kClasses; label += 2) {
                even += gradients[label] * load(weights + label * panel.width);
                odd += gradients[label + 1] * load(weights + (label + 1) * panel.width);
            }
            store(panel.deltas + at, through_activation(panel, at, even + odd, dropout_scale));
        }
    }
}

static void update_head(const Panel& panel, int64_t batch, const float* logits, const UpdateParams& params) {
    for (int vector = 0; vector < panel.vectors; ++vector) {
        Floats sums[kClasses] = {};
        for (int64_t image = 0; image < batch; ++image) {
            const Floats value = load(panel.values + image * panel.width + vector * kLanes);
            const float* row = logits + image * kPaddedClasses;
            for (int label = 0; label < kClasses; ++label) sums[label] += value * row[label];
        }
        for (int label = 0; label < kClasses; ++label)
            store(panel.head_gradient + label * panel.width + vector * kLanes, sums[label]);
    }
    update(params, {panel.head, panel.head_slots}, panel.head_gradient, int64_t{kClasses} * panel.width);
    transpose_head(panel);
}

// The loss and its constants.
struct LossSpec {
    Output output;
    float own_target;    // the target of an image's own class
    float other_target;  // the target of every other class
    float inverse_batch;
};

static LossSpec loss_spec_of(const Epoch& job) {
    LossSpec spec{};
    spec.output = job.output;
    spec.other_target = static_cast<float>(job.label_smoothing) / kClasses;
    spec.own_target = static_cast<float>(1 - job.label_smoothing) + spec.other_target;
    spec.inverse_batch = 1.0f / static_cast<float>(job.batch);
    return spec;
}

// A value of each class for as many images as there are lanes, a vector a class: nothing is summed across lanes.
struct LaneBatch {
    Floats of[kClasses];
};

// Returns the images' losses; `logits` become the losses' gradients.
INLINE Floats softmax_losses(LaneBatch& logits, const LaneBatch& targets) {
    Floats largest = logits.of[0];
    for (const Floats& logit : logits.of) largest = logit > largest ? logit : largest;
    LaneBatch powers;
    Floats sum{}, product{}, whole{};
    for (int label = 0; label < kClasses; ++label) {
        const Floats below = logits.of[label] - largest;
        powers.of[label] = exp(below);
        sum += powers.of[label];
        product += targets.of[label] * below;
        whole += targets.of[label];
    }
    const Floats scale = 1.0f / sum;
    for (int label = 0; label < kClasses; ++label) logits.of[label] = powers.of[label] * scale - targets.of[label];
    return log(sum) * whole - product;
}

// max(z, 0) - z * target + log(1 + exp(-|z|)) for each class, which no z overflows.
INLINE Floats sigmoid_losses(LaneBatch& logits, const LaneBatch& targets) {
    Floats sum{};
    for (int label = 0; label < kClasses; ++label) {
        const Floats logit = logits.of[label], positive = logit < 0.0f ? Floats{} : logit;
        const Floats rest = log1p(exp(-abs(logit)));
        sum += positive - logit * targets.of[label] + rest;
        logits.of[label] = sigmoid(logit) - targets.of[label];
    }
    return sum;
}

INLINE Floats linear_losses(LaneBatch& logits, const LaneBatch& targets) {
    Floats sum{};
    for (int label = 0; label < kClasses; ++label) {
        logits.of[label] -= targets.of[label];
        sum += logits.of[label] * logits.of[label];
    }
    return sum * 0.5f;
}

// Returns the sum of the losses of `count` images, at most as many as there are lanes; their `logits`, rows of 16,
// become the gradients of the batch's mean loss.
INLINE float losses_of(const LossSpec& spec, const uint8_t* labels, int count, float* logits) {
    float rows[kClasses][kLanes] = {}, own[kClasses][kLanes] = {};
    for (int image = 0; image < count; ++image) {
        own[labels[image]][image] = spec.own_target - spec.other_target;
        for (int label = 0; label < kClasses; ++label) rows[label][image] = logits[image * kPaddedClasses + label];
    }
    LaneBatch values, targets;
    for (int label = 0; label < kClasses; ++label) {
        std::memcpy(&values.of[label], rows[label], sizeof rows[label]);
        std::memcpy(&targets.of[label], own[label], sizeof own[label]);
        targets.of[label] += spec.other_target;
    }
    Floats losses = spec.output == Output::softmax   ? softmax_losses(values, targets)
                    : spec.output == Output::sigmoid ? sigmoid_losses(values, targets)
                                                     : linear_losses(values, targets);
    for (int label = 0; label < kClasses; ++label) {
        values.of[label] *= spec.inverse_batch;
        std::memcpy(rows[label], &values.of[label], sizeof rows[label]);
    }
    float sum = 0;
    for (int image = 0; image < count; ++image) {
        sum += losses[image];
        for (int label = 0; label < kClasses; ++label) logits[image * kPaddedClasses + label] = rows[label][image];
    }
    return sum;
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
