// The reference for the kernels: training as plain as possible, dense, in float64, one loop a sum. In bf16 the factors
// of the products are rounded, but for those of the output layer after hidden ones.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "job.h"

namespace reference {

using accelmnist::Activation;
using accelmnist::Epoch;
using accelmnist::kClasses;
using accelmnist::kPixels;
using accelmnist::Layer;
using accelmnist::Network;
using accelmnist::Output;
using accelmnist::Precision;
using accelmnist::Rule;
using Row = std::vector<double>;

inline uint32_t mix(uint32_t word) {
    word = (word ^ word >> 16) * 0x7feb352d;
    word = (word ^ word >> 15) * 0x846ca68b;
    return word ^ word >> 16;
}

inline double factor_of_dropout(const Epoch& job, int64_t step, int layer, int64_t position) {
    if (job.dropout == 0) return 1;
    const uint32_t stream = mix(static_cast<uint32_t>(job.seeds.data[step] + layer * int64_t{0x9e3779b9}));
    const auto threshold = static_cast<uint32_t>(job.dropout * 4294967296.0);
    const bool is_kept = mix(static_cast<uint32_t>(position) ^ stream) >= threshold;
    return is_kept ? 1 / (1 - job.dropout) : 0;
}

// A factor of the products of a layer, as the job's precision has it: to bf16's eight significant bits, ties to even.
inline double factor(const Epoch& job, int layer, double value) {
    const bool is_head = layer > 0 && layer + 1 == job.network.layer_count;
    if (job.precision == Precision::fp32 || is_head || value == 0 || !std::isfinite(value)) return value;
    int exponent;
    const double mantissa = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(mantissa * 256), exponent - 8);
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Returns the activation and writes its derivative to `grad`.
inline double activate(Activation kind, double x, double& grad) {
    switch (kind) {
        case Activation::relu: grad = x > 0; return x > 0 ? x : 0;
        case Activation::leaky_relu: grad = x > 0 ? 1 : 0.01; return x * grad;
        case Activation::gelu: {
            const double share = (1 + std::erf(x / std::sqrt(2.0))) / 2;
            grad = share + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
            return x * share;
        }
        case Activation::silu: grad = sigmoid(x) * (1 + x * (1 - sigmoid(x))); return x * sigmoid(x);
        case Activation::tanh: grad = 1 - std::tanh(x) * std::tanh(x); return std::tanh(x);
        default: grad = sigmoid(x) * (1 - sigmoid(x)); return sigmoid(x);
    }
}

// Weights, biases and optimizer state of every layer, in float64.
struct Parameters {
    std::vector<Row> weights, biases;
    std::vector<std::vector<Row>> weight_slots, bias_slots;  // by layer, by slot
};

inline Row row_of(const accelmnist::Array<float>& array) { return Row(array.data, array.data + array.size); }

inline Parameters parameters_of(const Network& network, int slots) {
    Parameters parameters;
    for (int number = 0; number < network.layer_count; ++number) {
        const Layer& layer = network.layers[number];
        parameters.weights.push_back(row_of(layer.weight));
        parameters.biases.push_back(row_of(layer.bias));
        parameters.weight_slots.emplace_back();
        parameters.bias_slots.emplace_back();
        for (int slot = 0; slot < slots; ++slot) {
            parameters.weight_slots.back().push_back(row_of(layer.weight_slots[slot]));
            parameters.bias_slots.back().push_back(row_of(layer.bias_slots[slot]));
        }
    }
    return parameters;
}

// An image's values at every layer: inputs, activations, logits; and the derivatives of the activations.
struct Pass {
    std::vector<Row> values, activation_grads;
};

inline Pass forward(const Epoch& job, const Parameters& now, const uint8_t* pixels, int64_t step, int64_t row) {
    Pass pass;
    pass.values.emplace_back(kPixels);
    for (int pixel = 0; pixel < kPixels; ++pixel) pass.values[0][pixel] = pixels[pixel] / 255.0;
    for (int number = 0; number < job.network.layer_count; ++number) {
        const Row& inputs = pass.values.back();
        Row sums = now.biases[number], activation_grads(sums.size());
        for (size_t unit = 0; unit < sums.size(); ++unit) {
            for (size_t input = 0; input < inputs.size(); ++input)
                sums[unit] += factor(job, number, now.weights[number][unit * inputs.size() + input]) *
                              (number ? factor(job, number, inputs[input]) : inputs[input]);
            if (number + 1 == job.network.layer_count) continue;
            sums[unit] = activate(job.network.activation, sums[unit], activation_grads[unit]);
            const auto position = row * static_cast<int64_t>(sums.size()) + static_cast<int64_t>(unit);
            const double factor = step < 0 ? 1 : factor_of_dropout(job, step, number, position);
            sums[unit] *= factor;
            activation_grads[unit] *= factor;
        }
        pass.values.push_back(sums);
        pass.activation_grads.push_back(activation_grads);
    }
    return pass;
}

// Returns the image's loss; `gradient` becomes the gradient at its logits.
inline double loss_of(const Epoch& job, const Row& logits, int64_t label, Row& gradient) {
    double loss = 0, total = 0;
    gradient.assign(kClasses, 0);
    double largest = logits[0];
    for (double logit : logits) largest = std::fmax(largest, logit);
    for (double logit : logits) total += std::exp(logit - largest);
    for (int index = 0; index < kClasses; ++index) {
        const double target = (index == label) * (1 - job.label_smoothing) + job.label_smoothing / kClasses;
        const double z = logits[index];
        if (job.output == Output::softmax) {
            loss -= target * (z - largest - std::log(total));
            gradient[index] = std::exp(z - largest) / total - target;
        } else if (job.output == Output::sigmoid) {
            loss += std::fmax(z, 0) - z * target + std::log1p(std::exp(-std::fabs(z)));
            gradient[index] = sigmoid(z) - target;
        } else {
            loss += (z - target) * (z - target) / 2;
            gradient[index] = z - target;
        }
    }
    return loss;
}

inline void update(
    const Epoch& job, double rate, double count, Row& weights, std::vector<Row>& slots, const Row& grad
) {
    for (size_t at = 0; at < weights.size(); ++at) {
        double& weight = weights[at];
        double gradient = grad[at];
        if (job.rule == Rule::adamw)
            weight -= rate * job.weight_decay * weight;
        else
            gradient += job.weight_decay * weight;
        if (job.rule == Rule::sgd) {
            weight -= rate * gradient;
        } else if (job.rule == Rule::momentum) {
            double& velocity = slots[0][at];
            velocity = job.momentum * velocity + gradient;
            weight -= rate * (job.nesterov ? gradient + job.momentum * velocity : velocity);
        } else {
            double &mean = slots[0][at], &square = slots[1][at];
            mean = job.beta1 * mean + (1 - job.beta1) * gradient;
            square = job.beta2 * square + (1 - job.beta2) * gradient * gradient;
            const double corrected = mean / (1 - std::pow(job.beta1, count));
            weight -= rate * corrected / (std::sqrt(square / (1 - std::pow(job.beta2, count))) + job.epsilon);
        }
    }
}

// Runs the epoch on the parameters `now`; returns the losses.
inline Row train(const Epoch& job, const accelmnist::Array<const uint8_t>& images, Parameters& now) {
    Row losses;
    const int layers = job.network.layer_count;
    for (int64_t step = 0; step < job.steps; ++step) {
        std::vector<Row> weight_gradients, bias_gradients;
        for (int number = 0; number < layers; ++number) {
            weight_gradients.emplace_back(now.weights[number].size());
            bias_gradients.emplace_back(now.biases[number].size());
        }
        double loss = 0;
        for (int64_t row = 0; row < job.batch; ++row) {
            const int64_t image = job.order.data[step * job.batch + row];
            const Pass pass = forward(job, now, images.data + image * kPixels, step, row);
            Row delta;
            loss += loss_of(job, pass.values.back(), job.labels.data[image], delta);
            for (int number = layers - 1; number >= 0; --number) {
                const Row& inputs = pass.values[number];
                Row below(inputs.size());
                for (size_t unit = 0; unit < delta.size(); ++unit) {
                    bias_gradients[number][unit] += delta[unit] / static_cast<double>(job.batch);
                    for (size_t input = 0; input < inputs.size(); ++input) {
                        const size_t at = unit * inputs.size() + input;
                        // As the kernels round it: the batch's share of the gradient.
                        const double share = factor(job, number, delta[unit] / static_cast<double>(job.batch));
                        const double value = number ? factor(job, number, inputs[input]) : inputs[input];
                        weight_gradients[number][at] += share * value;
                        const double weight = factor(job, number, now.weights[number][at]);
                        below[input] += share * static_cast<double>(job.batch) * weight;
                    }
                }
                for (size_t input = 0; number > 0 && input < below.size(); ++input)
                    below[input] *= pass.activation_grads[number - 1][input];
                delta = below;
            }
        }
        const double count = job.count + static_cast<double>(step) + 1;
        for (int number = 0; number < layers; ++number) {
            const double rate = job.rates.data[step];
            update(job, rate, count, now.weights[number], now.weight_slots[number], weight_gradients[number]);
            update(job, rate, count, now.biases[number], now.bias_slots[number], bias_gradients[number]);
        }
        losses.push_back(loss / static_cast<double>(job.batch));
    }
    return losses;
}

}  // namespace reference
