// The update rules, in torch's form and order of rounding: accelmnist/engines/step/rules.py names their sources.

#pragma once

#include <cmath>

#include "vector.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// A step's constants, the same for every parameter.
struct UpdateParams {
    Rule rule;
    bool nesterov;
    float rate;
    float decay;
    float momentum;
    float one_minus_beta1, beta2, one_minus_beta2;
    float corrected_rate;   // rate / (1 - beta1^count)
    float sqrt_correction;  // 1 / sqrt(1 - beta2^count)
    float epsilon;
    bool keeps_untouched;  // whether a weight without a gradient stays as it is
};

static UpdateParams update_params_of(const Epoch& job, int64_t step) {
    UpdateParams params{};
    const double count = job.count + static_cast<double>(step) + 1, rate = double{job.rates.data[step]};
    params.rule = job.rule;
    params.nesterov = job.nesterov;
    params.rate = job.rates.data[step];
    params.decay = static_cast<float>(job.rule == Rule::adamw ? rate * job.weight_decay : job.weight_decay);
    params.momentum = static_cast<float>(job.momentum);
    params.one_minus_beta1 = static_cast<float>(1 - job.beta1);
    params.beta2 = static_cast<float>(job.beta2);
    params.one_minus_beta2 = static_cast<float>(1 - job.beta2);
    params.corrected_rate = static_cast<float>(rate / (1 - std::pow(job.beta1, count)));
    params.sqrt_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(job.beta2, count)));
    params.epsilon = static_cast<float>(job.epsilon);
    params.keeps_untouched = job.rule == Rule::sgd && job.weight_decay == 0;
    return params;
}

// Weights and their optimizer state.
struct ParamRef {
    float* weight;
    float* const* slots;
};

INLINE Floats adam_step(const UpdateParams& params, Floats gradient, float* mean_at, float* square_at) {
    const Floats old_mean = load(mean_at);
    const Floats mean = old_mean + (gradient - old_mean) * params.one_minus_beta1;
    const Floats square = load(square_at) * params.beta2 + gradient * gradient * params.one_minus_beta2;
    store(mean_at, mean);
    store(square_at, square);
    return mean * params.corrected_rate / (sqrt(square) * params.sqrt_correction + params.epsilon);
}

// Updates `kVectors` vectors of weights from `at` on by their gradients.
template <int kVectors>
INLINE void update_vectors(const UpdateParams& params, const ParamRef& weights, int64_t at, const Floats* gradients) {
    float* weight = weights.weight + at;
    switch (params.rule) {
        case Rule::sgd:
            for (int vector = 0; vector < kVectors; ++vector, weight += kLanes) {
                const Floats old = load(weight);
                store(weight, old - (gradients[vector] + old * params.decay) * params.rate);
            }
            break;
        case Rule::momentum: {
            float* stored = weights.slots[0] + at;
            for (int vector = 0; vector < kVectors; ++vector, weight += kLanes, stored += kLanes) {
                const Floats old = load(weight), grad = gradients[vector] + old * params.decay;
                const Floats velocity = load(stored) * params.momentum + grad;
                store(stored, velocity);
                store(weight, old - (params.nesterov ? grad + velocity * params.momentum : velocity) * params.rate);
            }
            break;
        }
        default: {
            float *mean = weights.slots[0] + at, *square = weights.slots[1] + at;
            const bool is_decoupled = params.rule == Rule::adamw;  // the weight decay
            for (int vector = 0; vector < kVectors; ++vector) {
                const Floats old = load(weight), decay = old * params.decay;
                const Floats grad = is_decoupled ? gradients[vector] : gradients[vector] + decay;
                const Floats change = adam_step(params, grad, mean, square);
                store(weight, (is_decoupled ? old - decay : old) - change);
                weight += kLanes, mean += kLanes, square += kLanes;
            }
        }
    }
}

// Updates `count` weights, a multiple of the lanes.
static void update(const UpdateParams& params, const ParamRef& weights, const float* gradient, int64_t count) {
    for (int64_t at = 0; at < count; at += kLanes) {
        const Floats one = load(gradient + at);
        update_vectors<1>(params, weights, at, &one);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
