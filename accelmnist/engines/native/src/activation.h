// Activations of a panel and their derivatives, dropout included.

#pragma once

#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// The mixer and the positions of accelmnist/engines/step/dropout.py, whose masks these are to the bit.
template <class Word>
INLINE Word mixed(Word word) {
    word = (word ^ (word >> 16)) * 0x7feb352du;
    word = (word ^ (word >> 15)) * 0x846ca68bu;
    return word ^ (word >> 16);
}

struct Dropout {
    bool is_on;
    uint32_t stream;
    uint32_t least;  // a position whose hash is below it is dropped
    float scale;     // of those that stay
};

static Dropout dropout_of(double probability, int64_t seed, int layer) {
    Dropout dropout{};
    dropout.is_on = probability > 0;
    const uint64_t stream = static_cast<uint64_t>(seed) + static_cast<uint64_t>(layer) * 0x9e3779b9u;
    dropout.stream = mixed(static_cast<uint32_t>(stream));
    dropout.least = static_cast<uint32_t>(probability * 4294967296.0);
    dropout.scale = static_cast<float>(1 / (1 - probability));
    return dropout;
}

// What is left of a unit's value: 0 or the scale. `position` is the first lane's, row by row in the whole layer.
INLINE Floats kept(const Dropout& dropout, uint32_t position) {
    const Unsigned positions = reinterpret_cast<Unsigned>(lane_numbers()) + position;
    const Unsigned hash = mixed(positions ^ dropout.stream);
    return hash >= dropout.least ? spread(dropout.scale) : Floats{};
}

template <Activation kind>
INLINE void activate_one(Floats x, Floats& value, Floats& slope) {
    switch (kind) {
        case Activation::relu:
            value = x < 0.0f ? Floats{} : x;
            break;
        case Activation::leaky_relu:
            slope = x > 0.0f ? spread(1.0f) : spread(0.01f);
            value = x * slope;
            break;
        case Activation::gelu: {
            const Floats share = normal_integral(x);
            value = x * share;
            slope = share + x * exponential(x * x * -0.5f) * 0.398942280f;
            break;
        }
        case Activation::silu: {
            const Floats share = sigmoid(x);
            value = x * share;
            slope = share + value * (1.0f - share);
            break;
        }
        case Activation::tanh:
            value = hyperbolic_tangent(x);
            slope = 1.0f - value * value;
            break;
        default:
            value = sigmoid(x);
            slope = value * (1.0f - value);
    }
}

template <Activation kind>
static void activate_as(const Panel& panel, int64_t batch, int64_t units, const Dropout& dropout) {
    const Ints last_lanes = lane_numbers() < panel.units - (panel.vectors - 1) * kLanes;
    for (int64_t image = 0; image < batch; ++image)
        for (int vector = 0; vector < panel.vectors; ++vector) {
            const int64_t place = image * panel.width + vector * kLanes;
            Floats value{}, slope{};
            activate_one<kind>(load(panel.values + place), value, slope);
            if (dropout.is_on) {
                const Floats left = kept(dropout, static_cast<uint32_t>(image * units + panel.first + vector * kLanes));
                value *= left;
                slope *= left;
            }
            if (vector == panel.vectors - 1) {  // padding is no input of the next layer
                value = last_lanes ? value : Floats{};
                slope = last_lanes ? slope : Floats{};
            }
            store(panel.values + place, value);
            if (kind != Activation::relu && panel.slopes) store(panel.slopes + place, slope);
        }
}

// Sums to activations, in place; the derivatives go to `slopes`. `units` are the whole layer's.
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
