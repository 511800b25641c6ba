// Random jobs for every level of instructions, meant to be built with sanitizers: each must end where the plain float64
// training ends, and bad jobs must be refused. Usage: fuzz SEED JOBS THREADS, where at most THREADS threads are used.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "case.h"
#include "classification.h"
#include "engine.h"

namespace {

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

// One thing wrong with the job; the arrays stay as they are, so only the check can save the kernels. Whether it is of
// the network or the threads, which a classifier has too.
bool spoil(Case& made) {
    Epoch& job = made.epoch;
    Layer& layer = job.network.layers[number(0, job.network.layer_count - 1)];
    const int64_t thing = number(0, 14);
    switch (thing) {
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
    return thing == 4 || thing == 5 || (thing >= 8 && thing <= 11);
}

// Whether the job, in which one thing is wrong, is refused by whatever that thing concerns.
bool is_refused(const Case& made, bool is_of_network) {
    std::unique_ptr<Classifier> classifier;
    const Model model{made.epoch.network, made.epoch.threads};
    if (is_of_network && !make_classifier(model, best_level(), classifier)) return false;
    return train(made.epoch, best_level()) != nullptr;
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
        const bool is_of_network = spoil(made);
        if (!is_refused(made, is_of_network)) return std::printf("job %d: a bad one was not refused\n", job), 1;
        const Listing short_by_a_pixel{{made.images.data, made.images.size - 1}, 1};
        if (!list_pixels(short_by_a_pixel, best_level(), made.pixels)) return std::puts("a part of an image was listed"), 1;
    }
    std::printf("%d jobs\n", jobs);
    return 0;
}
