// A panel's activations and their derivatives, with dropout.

#pragma once

#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// The mixer of accelmnist/engines/step/loss.py: with its positions, the masks are the same to the bit.
template <class Word>
INLINE Word mix(Word word) {
    word = (word ^ (word >> 16)) * 0x7feb352du;
    word = (word ^ (word >> 15)) * 0x846ca68bu;
    return word ^ (word >> 16);
}

struct Dropout {
    bool is_on;
    uint32_t stream;
    uint32_t threshold;  // a position whose hash is below it is dropped
    float scale;         // of the values that stay
    int64_t first;       // the row of the whole batch that these images begin with
};

static Dropout dropout_of(double probability, int64_t seed, int layer, int64_t first) {
    Dropout dropout{};
    dropout.first = first;
    dropout.is_on = probability > 0;
    const uint64_t stream = static_cast<uint64_t>(seed) + static_cast<uint64_t>(layer) * 0x9e3779b9u;
    dropout.stream = mix(static_cast<uint32_t>(stream));
    dropout.threshold = static_cast<uint32_t>(probability * 4294967296.0);
    dropout.scale = static_cast<float>(1 / (1 - probability));
    return dropout;
}

// The factor of each unit's value: 0 or the scale. `position` is the first lane's, counted row by row in the whole
// layer.
INLINE Floats dropout_factors(const Dropout& dropout, uint32_t position) {
    const Unsigned positions = reinterpret_cast<Unsigned>(lane_numbers()) + position;
    const Unsigned hash = mix(positions ^ dropout.stream);
    return hash >= dropout.threshold ? broadcast(dropout.scale) : Floats{};
}

template <Activation kind>
INLINE void activate_one(Floats x, Floats& value, Floats& grad) {
    switch (kind) {
        case Activation::relu:
            value = x < 0.0f ? Floats{} : x;
            break;
        case Activation::leaky_relu:
            grad = x > 0.0f ? broadcast(1.0f) : broadcast(0.01f);
            value = x * grad;
            break;
        case Activation::gelu: {
            const Floats cdf = normal_cdf(x);
            value = x * cdf;
            grad = cdf + x * exp(x * x * -0.5f) * 0.398942280f;
            break;
        }
        case Activation::silu: {
            const Floats gate = sigmoid(x);
            value = x * gate;
            grad = gate + value * (1.0f - gate);
            break;
        }
        case Activation::tanh:
            value = tanh(x);
            grad = 1.0f - value * value;
            break;
        default:
            value = sigmoid(x);
            grad = value * (1.0f - value);
    }
}

template <Activation kind>
static void activate_as(const Panel& panel, int64_t batch, int64_t units, const Dropout& dropout) {
    const Ints last_lanes = lane_numbers() < panel.units - (panel.vectors - 1) * kLanes;
    for (int64_t image = 0; image < batch; ++image)
        for (int vector = 0; vector < panel.vectors; ++vector) {
            const int64_t at = image * panel.width + vector * kLanes;
            Floats value{}, grad{};
            activate_one<kind>(load(panel.values + at), value, grad);
            if (dropout.is_on) {
                const auto position = static_cast<uint32_t>((dropout.first + image) * units + panel.first + vector * kLanes);
                const Floats factors = dropout_factors(dropout, position);
                value *= factors;
                grad *= factors;
            }
            if (vector == panel.vectors - 1) {  // padding stays zero: it is no input of the next layer
                value = last_lanes ? value : Floats{};
                grad = last_lanes ? grad : Floats{};
            }
            store(panel.values + at, value);
            if (kind != Activation::relu && panel.activation_grads) store(panel.activation_grads + at, grad);
        }
}

// Turns sums into activations in place and writes their derivatives to `activation_grads`. `units` is the whole
// layer's.
static void activate(Activation kind, const Panel& panel, int64_t batch, int64_t units, const Dropout& dropout) {
    switch (kind) {
        case Activation::relu: return activate_as<Activation::relu>(panel, batch, units, dropout);
        case Activation::leaky_relu: return activate_as<Activation::leaky_relu>(panel, batch, units, dropout);
        case Activation::gelu: return activate_as<Activation::gelu>(panel, batch, units, dropout);
        case Activation::silu: return activate_as<Activation::silu>(panel, batch, units, dropout);
        case Activation::tanh: return activate_as<Activation::tanh>(panel, batch, units, dropout);
        default: return activate_as<Activation::sigmoid>(panel, batch, units, dropout);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
