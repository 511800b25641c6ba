// The update rules, in the form and the order of rounding of torch's: see accelmnist/engines/step/rules.py for their sources.

#pragma once

#include <cmath>

#include "vector.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// A step's numbers, the same for every parameter.
struct Pace {
    Rule rule;
    bool nesterov;
    float rate;
    float decay;
    float momentum;
    float new_mean, kept_square, new_square;  // Adam's 1 - beta1, beta2 and 1 - beta2
    float corrected_rate;                     // rate / (1 - beta1^count)
    float root_correction;                    // 1 / sqrt(1 - beta2^count)
    float epsilon;
    bool keeps_untouched;  // whether a weight without a gradient stays as it is
};

static Pace pace_of(const Epoch& job, int64_t step) {
    Pace pace{};
    const double count = job.count + static_cast<double>(step) + 1, rate = double{job.rates.data[step]};
    pace.rule = job.rule;
    pace.nesterov = job.nesterov;
    pace.rate = job.rates.data[step];
    pace.decay = static_cast<float>(job.rule == Rule::adamw ? rate * job.weight_decay : job.weight_decay);
    pace.momentum = static_cast<float>(job.momentum);
    pace.new_mean = static_cast<float>(1 - job.beta1);
    pace.kept_square = static_cast<float>(job.beta2);
    pace.new_square = static_cast<float>(1 - job.beta2);
    pace.corrected_rate = static_cast<float>(rate / (1 - std::pow(job.beta1, count)));
    pace.root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(job.beta2, count)));
    pace.epsilon = static_cast<float>(job.epsilon);
    pace.keeps_untouched = job.rule == Rule::sgd && job.weight_decay == 0;
    return pace;
}

// Where weights and their state lie.
struct Place {
    float* weight;
    float* const* slots;
};

INLINE Floats adam_change(const Pace& pace, Floats gradient, float* mean_place, float* square_place) {
    const Floats old_mean = load(mean_place);
    const Floats mean = old_mean + (gradient - old_mean) * pace.new_mean;
    const Floats square = load(square_place) * pace.kept_square + gradient * gradient * pace.new_square;
    store(mean_place, mean);
    store(square_place, square);
    return mean * pace.corrected_rate / (root(square) * pace.root_correction + pace.epsilon);
}

// The weights at `at`, `kVectors` vectors of them, by their gradients.
template <int kVectors>
INLINE void update_vectors(const Pace& pace, const Place& place, int64_t at, const Floats* gradients) {
    float* weight = place.weight + at;
    switch (pace.rule) {
        case Rule::sgd:
            for (int vector = 0; vector < kVectors; ++vector, weight += kLanes) {
                const Floats old = load(weight);
                store(weight, old - (gradients[vector] + old * pace.decay) * pace.rate);
            }
            break;
        case Rule::momentum: {
            float* stored = place.slots[0] + at;
            for (int vector = 0; vector < kVectors; ++vector, weight += kLanes, stored += kLanes) {
                const Floats old = load(weight), slope = gradients[vector] + old * pace.decay;
                const Floats velocity = load(stored) * pace.momentum + slope;
                store(stored, velocity);
                store(weight, old - (pace.nesterov ? slope + velocity * pace.momentum : velocity) * pace.rate);
            }
            break;
        }
        default: {
            float *mean = place.slots[0] + at, *square = place.slots[1] + at;
            const bool is_apart = pace.rule == Rule::adamw;  // the decay, from the gradient
            for (int vector = 0; vector < kVectors; ++vector) {
                const Floats old = load(weight), decay = old * pace.decay;
                const Floats slope = is_apart ? gradients[vector] : gradients[vector] + decay;
                const Floats change = adam_change(pace, slope, mean, square);
                store(weight, (is_apart ? old - decay : old) - change);
                weight += kLanes, mean += kLanes, square += kLanes;
            }
        }
    }
}

// `count` weights, a multiple of the lanes.
static void update(const Pace& pace, const Place& place, const float* gradient, int64_t count) {
    for (int64_t at = 0; at < count; at += kLanes) {
        const Floats one = load(gradient + at);
        update_vectors<1>(pace, place, at, &one);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
