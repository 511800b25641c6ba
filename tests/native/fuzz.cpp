// Random jobs for every instruction level, to be built with sanitizers: each must end where the plain float64 training
// ends, and bad jobs must be refused. Usage: fuzz SEED JOBS THREADS, which uses at most THREADS threads.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "case.h"
#include "classification.h"
#include "engine.h"

namespace {

// Lists the case's pixels from a copy of its images that is gone on return. Every level must make the same set.
bool lists(Case& fuzzed, Level level) {
    const std::vector<uint8_t> copy(fuzzed.images.data, fuzzed.images.data + fuzzed.images.size);
    const Listing job{{copy.data(), fuzzed.images.size}, fuzzed.epoch.threads};
    std::unique_ptr<PixelStore> before = std::move(fuzzed.pixels);
    if (const char* problem = list_pixels(job, level, fuzzed.pixels)) return std::printf("list: %s\n", problem), false;
    const PixelSet& set = fuzzed.pixels->set;
    if (fuzzed.lists_pixels)
        fuzzed.epoch.pixels = &set;
    else
        fuzzed.epoch.images = fuzzed.images;
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

bool runs(Case& fuzzed) {
    const Network start = copied(fuzzed, fuzzed.epoch.network);
    reference::Parameters expected = reference::parameters_of(start, slots_of(fuzzed.epoch.rule));
    const reference::Row losses = reference::train(fuzzed.epoch, fuzzed.images, expected);
    for (int level = 0; level < static_cast<int>(Level::count); ++level) {
        if (!runs_here(static_cast<Level>(level))) continue;
        restore(fuzzed.epoch.network, start);
        if (!lists(fuzzed, static_cast<Level>(level))) return std::printf("at level %d\n", level), false;
        if (const char* problem = train(fuzzed.epoch, static_cast<Level>(level)))
            return std::printf("train: %s\n", problem), false;
        const double tolerance = tolerance_of(fuzzed.epoch);
        const bool is_right = follows(fuzzed.epoch.losses, losses, "loss", tolerance) &&
                              follows(fuzzed.epoch.network, expected, tolerance) &&
                              classifies(fuzzed, expected, static_cast<Level>(level));
        if (!is_right) return std::printf("at level %s\n", name_of(static_cast<Level>(level))), false;
    }
    return true;
}

// Puts one error into the job; the arrays stay as they are, so only the check can save the kernels. Returns whether the
// error is in the network or the threads, which a classifier has too.
bool spoil(Case& fuzzed) {
    Epoch& job = fuzzed.epoch;
    Layer& layer = job.network.layers[number(0, job.network.layer_count - 1)];
    const int64_t error = number(0, 14);
    switch (error) {
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
        case 13: job.pixels = nullptr, job.images.data = nullptr; break;
        default: {
            job.images.size += number(0, 1) ? 1 : -kPixels;
            if (!fuzzed.lists_pixels) break;
            fuzzed.pixels = std::make_unique<PixelStore>(job.labels.size + (number(0, 1) ? 1 : -1));
            job.pixels = &fuzzed.pixels->set;
        }
    }
    return error == 4 || error == 5 || (error >= 8 && error <= 11);
}

// Whether the job, which has one error, is refused by all that the error concerns.
bool is_refused(const Case& fuzzed, bool is_of_network) {
    std::unique_ptr<Classifier> classifier;
    const Model model{fuzzed.epoch.network, fuzzed.epoch.threads, fuzzed.epoch.precision};
    if (is_of_network && !make_classifier(model, best_level(), classifier)) return false;
    return train(fuzzed.epoch, best_level()) != nullptr;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return std::puts("usage: fuzz SEED JOBS THREADS"), 2;
    rng.seed(std::strtoull(arguments[1], nullptr, 10));
    const int jobs = std::atoi(arguments[2]), threads = std::atoi(arguments[3]);
    for (int job = 0; job < jobs; ++job) {
        Case fuzzed = random_case(threads);
        const Epoch& epoch = fuzzed.epoch;
        if (!runs(fuzzed))
            return std::printf(
                       "job %d: precision %d, pixels listed %d, layers %d, batch %ld, steps %ld, rule %d, output %d, "
                       "activation %d, dropout %g, threads %d\n",
                       job, int(epoch.precision), int(fuzzed.lists_pixels), epoch.network.layer_count,
                       long(epoch.batch), long(epoch.steps), int(epoch.rule), int(epoch.output),
                       int(epoch.network.activation), epoch.dropout, epoch.threads
                   ),
                   1;
        if (epoch.order.size == 0) continue;
        const bool is_of_network = spoil(fuzzed);
        if (!is_refused(fuzzed, is_of_network)) return std::printf("job %d: a bad one was not refused\n", job), 1;
        const Listing short_by_a_pixel{{fuzzed.images.data, fuzzed.images.size - 1}, 1};
        if (!list_pixels(short_by_a_pixel, best_level(), fuzzed.pixels))
            return std::puts("a part of an image was listed"), 1;
    }
    std::printf("%d jobs\n", jobs);
    return 0;
}
