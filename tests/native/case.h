// Random jobs with their memory, and the comparison with the plain reference.
//
// Every array has exactly its required size, so that the address sanitizer sees a step beyond one.

#pragma once

#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "pixels.h"
#include "reference.h"

using namespace accelmnist;

namespace {

std::mt19937_64 rng;

int64_t number(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(rng); }
double fraction() { return std::uniform_real_distribution<double>(0, 1)(rng); }

// A job with the memory that it points to.
struct Case {
    template <class Element>
    Array<Element> array(int64_t size) {
        memory.emplace_back(new char[static_cast<size_t>(size) * sizeof(Element)]);
        return {reinterpret_cast<Element*>(memory.back().get()), size};
    }

    template <class Element, class Make>
    Array<const Element> filled(int64_t size, Make make) {
        const Array<Element> values = array<Element>(size);
        for (int64_t at = 0; at < size; ++at) values.data[at] = static_cast<Element>(make());
        return {values.data, size};
    }

    Array<float> floats(int64_t size, double scale) {
        const Array<float> values = array<float>(size);
        for (int64_t at = 0; at < size; ++at) values.data[at] = static_cast<float>(scale * (2 * fraction() - 1));
        return values;
    }

    std::vector<std::unique_ptr<char[]>> memory;
    Array<const uint8_t> images;
    std::unique_ptr<PixelStore> pixels;
    bool lists_pixels = false;
    Epoch epoch;
};

std::vector<int64_t> random_sizes() {
    std::vector<int64_t> sizes{kPixels};
    for (int64_t layer = number(0, 3); layer > 0; --layer)
        sizes.push_back(number(0, 3) ? number(1, 40) : number(41, 150));
    sizes.push_back(kClasses);
    return sizes;
}

void add_layers(Case& fuzzed) {
    Epoch& job = fuzzed.epoch;
    const std::vector<int64_t> sizes = random_sizes();
    for (size_t index = 0; index + 1 < sizes.size(); ++index) {
        Layer& layer = job.network.layers[job.network.layer_count++];
        layer.inputs = sizes[index];
        layer.units = sizes[index + 1];
        const int64_t weights = layer.inputs * layer.units;
        layer.weight = fuzzed.floats(weights, std::sqrt(3.0 / static_cast<double>(layer.inputs)));
        layer.bias = fuzzed.floats(layer.units, 0.1);
        for (int slot = 0; slot < slots_of(job.rule); ++slot) {
            layer.weight_slots[slot] = fuzzed.floats(weights, 0);
            layer.bias_slots[slot] = fuzzed.floats(layer.units, 0);
        }
    }
}

void add_data(Case& fuzzed) {
    Epoch& job = fuzzed.epoch;
    const int64_t images = number(1, 40);
    const double density = fraction();
    fuzzed.images = fuzzed.filled<uint8_t>(images * kPixels, [&] { return fraction() < density ? number(0, 255) : 0; });
    job.labels = fuzzed.filled<int64_t>(images, [] { return number(0, kClasses - 1); });
    job.batch = number(0, 3) ? number(1, 40) : number(120, 300);
    job.steps = number(0, 3);
    job.order = fuzzed.filled<int64_t>(job.steps * job.batch, [&] { return number(0, images - 1); });
    job.rates = fuzzed.filled<float>(job.steps, [] { return 0.01 * fraction(); });
    job.seeds = fuzzed.filled<int64_t>(job.steps, [] { return number(0, (int64_t{1} << 31) - 1); });
    job.losses = fuzzed.array<float>(job.steps);
}

Case random_case(int threads) {
    Case fuzzed;
    Epoch& job = fuzzed.epoch;
    job.precision = static_cast<Precision>(number(0, static_cast<int>(Precision::count) - 1));
    fuzzed.lists_pixels = job.precision == Precision::fp32 && number(0, 1);
    job.rule = static_cast<Rule>(number(0, static_cast<int>(Rule::count) - 1));
    job.output = static_cast<Output>(number(0, static_cast<int>(Output::count) - 1));
    job.network.activation = static_cast<Activation>(number(0, static_cast<int>(Activation::count) - 1));
    job.nesterov = number(0, 1);
    job.momentum = fraction() * 0.9;
    job.weight_decay = number(0, 1) ? 0 : 0.1 * fraction();
    job.label_smoothing = number(0, 1) ? 0 : 0.5 * fraction();
    job.dropout = number(0, 2) ? 0 : 0.6 * fraction();
    job.beta1 = 0.9;
    job.beta2 = 0.999;
    job.epsilon = 0.1;  // large, since Adam divides by a gradient that may be rounding alone: no two ways agree on that
    job.count = static_cast<double>(number(0, 5));
    job.threads = static_cast<int>(number(1, threads));
    add_layers(fuzzed);
    add_data(fuzzed);
    return fuzzed;
}

bool near(double actual, double expected, double tolerance) {
    return std::fabs(actual - expected) <= tolerance * (1 + std::fabs(expected));
}

// What float32's roundings may change; in bf16 they also turn some factors to the number beside.
double tolerance_of(const Epoch& job) { return job.precision == Precision::fp32 ? 2e-4 : 4e-3; }

bool follows(const Array<float>& actual, const reference::Row& expected, const char* what, double tolerance) {
    for (int64_t at = 0; at < actual.size; ++at)
        if (!near(actual.data[at], expected[static_cast<size_t>(at)], tolerance)) {
            std::printf("%s %ld: %g, not %g\n", what, long(at), actual.data[at], expected[static_cast<size_t>(at)]);
            return false;
        }
    return true;
}

bool follows(const Network& actual, const reference::Parameters& expected, double tolerance) {
    for (int number = 0; number < actual.layer_count; ++number) {
        const auto index = static_cast<size_t>(number);
        if (!follows(actual.layers[number].weight, expected.weights[index], "weight", tolerance)) return false;
        if (!follows(actual.layers[number].bias, expected.biases[index], "bias", tolerance)) return false;
        for (size_t slot = 0; slot < expected.weight_slots[index].size(); ++slot) {
            const Layer& layer = actual.layers[number];
            if (!follows(layer.weight_slots[slot], expected.weight_slots[index][slot], "slot", tolerance)) return false;
            if (!follows(layer.bias_slots[slot], expected.bias_slots[index][slot], "slot", tolerance)) return false;
        }
    }
    return true;
}

void restore(const Network& network, const Network& from) {
    const auto copy = [](const Array<float>& to, const Array<float>& source) {
        for (int64_t at = 0; at < to.size; ++at) to.data[at] = source.data[at];
    };
    for (int number = 0; number < network.layer_count; ++number) {
        copy(network.layers[number].weight, from.layers[number].weight);
        copy(network.layers[number].bias, from.layers[number].bias);
        for (int slot = 0; slot < kMaxSlots; ++slot) {
            copy(network.layers[number].weight_slots[slot], from.layers[number].weight_slots[slot]);
            copy(network.layers[number].bias_slots[slot], from.layers[number].bias_slots[slot]);
        }
    }
}

Network copied(Case& owner, const Network& network) {
    Network copy = network;
    for (int number = 0; number < copy.layer_count; ++number) {
        Layer& layer = copy.layers[number];
        for (Array<float>* array : {&layer.weight, &layer.bias, &layer.weight_slots[0], &layer.weight_slots[1],
                                    &layer.bias_slots[0], &layer.bias_slots[1]})
            if (array->data) *array = owner.floats(array->size, 0);
    }
    restore(copy, network);
    return copy;
}

}  // namespace
