#include "classifier.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

namespace accelmnist {
namespace {

constexpr int64_t kMostTogether = 128;  // images; their activations and lists stay in the second-level cache
constexpr int64_t kLeastTogether = 32;  // with fewer, to bring the weights near takes a large part of the time
constexpr int64_t kAligned = 4;         // images that the output layer takes at once

// Of an image, in multiply-adds. 19 % of MNIST's pixels are not black, and some half of what a rectifier gives is not
// zero; to list the pixels takes as long as 5,000.
double work_of(const Network& network) {
    double work = 5000;
    for (int number = 0; number < network.layer_count; ++number) {
        const auto weights = static_cast<double>(network.layers[number].inputs * network.layers[number].units);
        work += weights * (number == 0 ? 0.19 : 0.5);
    }
    return work;
}

Epoch job_of(const Network& network) {
    Epoch job;
    job.network = network;
    return job;
}

struct Chunk {
    int64_t start, images;
};

// What the threads of a call share.
struct Sharing {
    // The next chunk; of no images where none is left.
    Chunk take() {
        Chunk chunk{taken.load(std::memory_order_relaxed), 0};
        do {
            chunk.images = size_of_next(images - chunk.start);
        } while (!taken.compare_exchange_weak(chunk.start, chunk.start + chunk.images, std::memory_order_relaxed));
        return chunk;
    }

    // The chunks shrink towards the end, so that the threads end together although they begin one after the other.
    int64_t size_of_next(int64_t left) const {
        const int64_t fair = threads == 1 ? left : left / (2 * threads) / kAligned * kAligned;
        const int64_t size = fair < kLeastTogether ? kLeastTogether : fair < kMostTogether ? fair : kMostTogether;
        return size < left ? size : left;
    }

    const Kernels& kernels;
    const Classification& job;
    const std::vector<std::unique_ptr<Seat>>& seats;
    const int64_t images;
    const int threads;
    std::atomic<int64_t> taken{0};
};

void take_chunks(void* context, Barrier*, int thread) {
    auto& sharing = *static_cast<Sharing*>(context);
    Seat& seat = *sharing.seats[static_cast<size_t>(thread)];
    for (Chunk chunk = sharing.take(); chunk.images > 0; chunk = sharing.take()) {
        const uint8_t* images = sharing.job.images.data + chunk.start * kPixels;
        float* logits = sharing.job.logits.data + chunk.start * kClasses;
        sharing.kernels.classify(seat.for_images(chunk.images), images, logits);
    }
}

}  // namespace

// Seats for one call, idle again when it ends.
class Classifier::Taken {
public:
    Taken(Classifier& owner, int count) : owner_(owner) {
        const auto wanted = static_cast<size_t>(count);
        seats.reserve(wanted);
        {
            const std::lock_guard<std::mutex> lock(owner.mutex_);
            for (; seats.size() < wanted && !owner.idle_.empty(); owner.idle_.pop_back())
                seats.push_back(std::move(owner.idle_.back()));
        }
        while (seats.size() < wanted)
            seats.push_back(std::make_unique<Seat>(owner.weights_.workspace, kMostTogether));
    }

    ~Taken() {
        const std::lock_guard<std::mutex> lock(owner_.mutex_);
        try {
            for (std::unique_ptr<Seat>& seat : seats) owner_.idle_.push_back(std::move(seat));
        } catch (const std::bad_alloc&) {  // then the rest are not kept
        }
    }

    std::vector<std::unique_ptr<Seat>> seats;

private:
    Classifier& owner_;
};

Classifier::Classifier(const Model& model, const Kernels& kernels)
    : kernels_(kernels),
      threads_(model.threads),
      images_a_thread_(model.worth_a_thread / work_of(model.network)),
      job_(job_of(model.network)),
      weights_(job_, kernels.lanes, kernels.panel_floats) {
    kernels.take_weights(weights_.workspace);
    for (Layer& layer : job_.network.layers) layer.weight = layer.bias = {};  // the caller's, perhaps gone soon
}

int Classifier::threads_for(int64_t images) const {
    const auto pieces = static_cast<double>((images + kLeastTogether - 1) / kLeastTogether);
    const double useful = std::min(static_cast<double>(images) / images_a_thread_, pieces);
    return useful < 2 ? 1 : useful < threads_ ? static_cast<int>(useful) : threads_;
}

const char* Classifier::classify(const Classification& job) {
    if (const char* problem = problem_of(job)) return problem;
    const int64_t images = job.images.size / kPixels;
    if (images == 0) return nullptr;
    const int threads = threads_for(images);
    const Taken taken(*this, threads);
    Sharing sharing{kernels_, job, taken.seats, images, threads};
    return run_team(threads, take_chunks, &sharing) ? nullptr : kNoThreads;
}

const char* make_classifier(const Model& model, Level level, std::unique_ptr<Classifier>& made) {
    if (const char* problem = problem_of(model)) return problem;
    if (!runs_here(level)) return kNoLevel;
    made = std::make_unique<Classifier>(model, *kernels_of(level));
    return nullptr;
}

}  // namespace accelmnist
