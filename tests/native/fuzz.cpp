// Random jobs for every level of instructions, meant to be built with sanitizers: each must end where the plain float64
// training ends, and bad jobs must be refused. Usage: fuzz SEED JOBS THREADS, where at most THREADS threads are used.
//
// Every array has exactly the size that it must have, so that a step beyond one is seen by the address sanitizer.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine.h"
#include "reference.h"

using namespace accelmnist;

namespace {

std::mt19937_64 chance;

int64_t number(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(chance); }
double fraction() { return std::uniform_real_distribution<double>(0, 1)(chance); }

// A job with the memory that it points to.
struct Case {
    template <class Element>
    Array<Element> array(int64_t size) {
        memory.emplace_back(new char[static_cast<size_t>(size) * sizeof(Element)]);
        return {reinterpret_cast<Element*>(memory.back().get()), size};
    }

    template <class Element, class Make>
    Array<const Element> filled(int64_t size, Make make) {
        const Array<Element> made = array<Element>(size);
        for (int64_t at = 0; at < size; ++at) made.data[at] = static_cast<Element>(make());
        return {made.data, size};
    }

    Array<float> floats(int64_t size, double scale) {
        const Array<float> made = array<float>(size);
        for (int64_t at = 0; at < size; ++at) made.data[at] = static_cast<float>(scale * (2 * fraction() - 1));
        return made;
    }

    std::vector<std::unique_ptr<char[]>> memory;
    Array<const uint8_t> images;
    std::unique_ptr<PixelStore> pixels;
    Epoch epoch;
};

std::vector<int64_t> random_sizes() {
    std::vector<int64_t> sizes{kPixels};
    for (int64_t layer = number(0, 3); layer > 0; --layer) sizes.push_back(number(0, 3) ? number(1, 40) : number(41, 150));
    sizes.push_back(kClasses);
    return sizes;
}

void add_layers(Case& made) {
    Epoch& job = made.epoch;
    const std::vector<int64_t> sizes = random_sizes();
    for (size_t place = 0; place + 1 < sizes.size(); ++place) {
        Layer& layer = job.network.layers[job.network.layer_count++];
        layer.inputs = sizes[place];
        layer.units = sizes[place + 1];
        const int64_t weights = layer.inputs * layer.units;
        layer.weight = made.floats(weights, std::sqrt(3.0 / static_cast<double>(layer.inputs)));
        layer.bias = made.floats(layer.units, 0.1);
        for (int slot = 0; slot < slots_of(job.rule); ++slot) {
            layer.weight_slots[slot] = made.floats(weights, 0);
            layer.bias_slots[slot] = made.floats(layer.units, 0);
        }
    }
}

void add_data(Case& made) {
    Epoch& job = made.epoch;
    const int64_t images = number(1, 40);
    const double density = fraction();
    made.images = made.filled<uint8_t>(images * kPixels, [&] { return fraction() < density ? number(0, 255) : 0; });
    job.labels = made.filled<int64_t>(images, [] { return number(0, kClasses - 1); });
    job.batch = number(0, 3) ? number(1, 40) : number(120, 300);
    job.steps = number(0, 3);
    job.order = made.filled<int64_t>(job.steps * job.batch, [&] { return number(0, images - 1); });
    job.rates = made.filled<float>(job.steps, [] { return 0.01 * fraction(); });
    job.seeds = made.filled<int64_t>(job.steps, [] { return number(0, (int64_t{1} << 31) - 1); });
    job.losses = made.array<float>(job.steps);
}

Case random_case(int threads) {
    Case made;
    Epoch& job = made.epoch;
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
    add_layers(made);
    add_data(made);
    return made;
}

bool near(double found, double expected, double tolerance) {
    return std::fabs(found - expected) <= tolerance * (1 + std::fabs(expected));
}

bool follows(const Array<float>& found, const reference::Row& expected, const char* what) {
    for (int64_t at = 0; at < found.size; ++at)
        if (!near(found.data[at], expected[static_cast<size_t>(at)], 2e-4)) {
            std::printf("%s %ld: %g, not %g\n", what, long(at), found.data[at], expected[static_cast<size_t>(at)]);
            return false;
        }
    return true;
}

bool follows(const Network& found, const reference::Parameters& expected) {
    for (int number = 0; number < found.layer_count; ++number) {
        const auto place = static_cast<size_t>(number);
        if (!follows(found.layers[number].weight, expected.weights[place], "weight")) return false;
        if (!follows(found.layers[number].bias, expected.biases[place], "bias")) return false;
        for (size_t slot = 0; slot < expected.weight_slots[place].size(); ++slot) {
            if (!follows(found.layers[number].weight_slots[slot], expected.weight_slots[place][slot], "slot")) return false;
            if (!follows(found.layers[number].bias_slots[slot], expected.bias_slots[place][slot], "slot")) return false;
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

bool classifies(Case& made, const reference::Parameters& now, Level level) {
    Classification job;
    job.network = made.epoch.network;
    job.images = made.images;
    job.threads = made.epoch.threads;
    const int64_t images = job.images.size / kPixels;
    job.logits = made.array<float>(images * kClasses);
    if (const char* problem = classify(job, level)) return std::printf("classify: %s\n", problem), false;
    for (int64_t image = 0; image < images; ++image) {
        const reference::Pass pass = reference::forward(made.epoch, now, job.images.data + image * kPixels, -1, 0);
        if (!follows({job.logits.data + image * kClasses, kClasses}, pass.values.back(), "logit")) return false;
    }
    return true;
}

// Lists the case's pixels from a copy of its images that is gone when this returns. Every level must make the same set.
bool lists(Case& made, Level level) {
    const std::vector<uint8_t> copy(made.images.data, made.images.data + made.images.size);
    const Listing job{{copy.data(), made.images.size}, made.epoch.threads};
    std::unique_ptr<PixelStore> before = std::move(made.pixels);
    if (const char* problem = list_pixels(job, level, made.pixels)) return std::printf("list: %s\n", problem), false;
    const PixelSet& set = made.pixels->set;
    made.epoch.pixels = &set;
    for (int64_t image = 0; before && image < set.images; ++image) {
        const PixelSet& other = before->set;
        const Element* record = set.records + int64_t{set.starts[image]} * kLineElements;
        int64_t size = kHeader;
        for (int number = 0; number < kPixelBlocks; ++number) size += reinterpret_cast<const uint8_t*>(record)[number];
        if (set.starts[image] != other.starts[image] ||
            std::memcmp(record, other.records + int64_t{other.starts[image]} * kLineElements, size * sizeof(Element)))
            return std::printf("image %ld has another record\n", long(image)), false;
    }
    return true;
}

bool runs(Case& made) {
    const Network start = copied(made, made.epoch.network);
    reference::Parameters expected = reference::parameters_of(start, slots_of(made.epoch.rule));
    const reference::Row losses = reference::train(made.epoch, made.images, expected);
    for (int level = 0; level < static_cast<int>(Level::count); ++level) {
        if (!runs_here(static_cast<Level>(level))) continue;
        restore(made.epoch.network, start);
        if (!lists(made, static_cast<Level>(level))) return std::printf("at level %d\n", level), false;
        if (const char* problem = train(made.epoch, static_cast<Level>(level)))
            return std::printf("train: %s\n", problem), false;
        const bool is_right = follows(made.epoch.losses, losses, "loss") && follows(made.epoch.network, expected) &&
                              classifies(made, expected, static_cast<Level>(level));
        if (!is_right) return std::printf("at level %s\n", name_of(static_cast<Level>(level))), false;
    }
    return true;
}

// One thing wrong with the job; the arrays stay as they are, so only the check can save the kernels.
void spoil(Case& made) {
    Epoch& job = made.epoch;
    Layer& layer = job.network.layers[number(0, job.network.layer_count - 1)];
    switch (number(0, 14)) {
        case 0: const_cast<int64_t*>(job.order.data)[number(0, job.order.size - 1)] = job.labels.size; break;
        case 1: const_cast<int64_t*>(job.order.data)[number(0, job.order.size - 1)] = -1; break;
        case 2: const_cast<int64_t*>(job.labels.data)[number(0, job.labels.size - 1)] = kClasses; break;
        case 3: const_cast<int64_t*>(job.labels.data)[number(0, job.labels.size - 1)] = INT64_MIN; break;
        case 4: layer.units += number(0, 1) ? 1 : INT64_MAX / 2; break;
        case 5: layer.inputs = number(0, 1) ? 0 : -layer.inputs; break;
        case 6: job.batch += number(1, 100); break;
        case 7: job.steps = number(0, 1) ? -1 : INT64_MAX; break;
        case 8: job.network.layer_count = number(0, 1) ? 0 : kMaxLayers + 1; break;
        case 9: job.threads = number(0, 1) ? 0 : 1 << 20; break;
        case 10: layer.weight.size -= 1; break;
        case 11: layer.bias.data = nullptr; break;
        case 12: job.dropout = number(0, 1) ? 1 : std::nan(""); break;
        case 13: job.pixels = nullptr; break;
        default: {
            made.pixels = std::make_unique<PixelStore>(job.labels.size + (number(0, 1) ? 1 : -1));
            job.pixels = &made.pixels->set;
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return std::puts("usage: fuzz SEED JOBS THREADS"), 2;
    chance.seed(std::strtoull(arguments[1], nullptr, 10));
    const int jobs = std::atoi(arguments[2]), threads = std::atoi(arguments[3]);
    for (int job = 0; job < jobs; ++job) {
        Case made = random_case(threads);
        const Epoch& epoch = made.epoch;
        if (!runs(made))
            return std::printf(
                       "job %d: layers %d, batch %ld, steps %ld, rule %d, output %d, activation %d, dropout %g, threads %d\n",
                       job, epoch.network.layer_count, long(epoch.batch), long(epoch.steps), int(epoch.rule),
                       int(epoch.output), int(epoch.network.activation), epoch.dropout, epoch.threads
                   ),
                   1;
        if (epoch.order.size == 0) continue;
        spoil(made);
        if (!train(made.epoch, best_level())) return std::printf("job %d: a bad one was not refused\n", job), 1;
        const Listing short_by_a_pixel{{made.images.data, made.images.size - 1}, 1};
        if (!list_pixels(short_by_a_pixel, best_level(), made.pixels)) return std::puts("a part of an image was listed"), 1;
    }
    std::printf("%d jobs\n", jobs);
    return 0;
}
