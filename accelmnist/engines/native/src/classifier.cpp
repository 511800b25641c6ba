#include "classifier.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

namespace accelmnist {
namespace {

constexpr int64_t kMaxChunk = 128;    // images, whose activations and lists stay in the second-level cache
constexpr int64_t kMinChunk = 32;     // images; with fewer, loading the weights takes a large part of the time
constexpr int64_t kImagesAtOnce = 4;  // that the output layer takes

// An image's work, in multiply-adds of what is listed. 19 % of MNIST's pixels are not black; products of all take half
// as long for each; listing the pixels takes as long as 5,000.
double work_per_image(const Network& network) {
    double work = 5000;
    for (int number = 0; number < network.layer_count; ++number) {
        const auto weights = static_cast<double>(network.layers[number].inputs * network.layers[number].units);
        work += weights * (number == 0 ? 0.19 : 0.5);
    }
    return work;
}

Epoch job_of(const Model& model) {
    Epoch job;
    job.network = model.network;
    job.precision = model.precision;
    return job;
}

struct Chunk {
    int64_t start, images;
};

// One call's state, shared by its threads.
struct SharedCall {
    // Returns the next chunk, which has no images if none is left.
    Chunk next_chunk() {
        Chunk chunk{taken.load(std::memory_order_relaxed), 0};
        do {
            chunk.images = size_of_next(images - chunk.start);
        } while (!taken.compare_exchange_weak(chunk.start, chunk.start + chunk.images, std::memory_order_relaxed));
        return chunk;
    }

    // The chunks shrink towards the end, so that the threads end together although they begin one after the other.
    int64_t size_of_next(int64_t left) const {
        const int64_t fair = threads == 1 ? left : left / (2 * threads) / kImagesAtOnce * kImagesAtOnce;
        const int64_t size = fair < kMinChunk ? kMinChunk : fair < kMaxChunk ? fair : kMaxChunk;
        return size < left ? size : left;
    }

    const Kernels& kernels;
    const Classification& job;
    const std::vector<std::unique_ptr<InferenceScratch>>& scratches;
    const int64_t images;
    const int threads;
    std::atomic<int64_t> taken{0};
};

void take_chunks(void* context, Barrier*, int thread) {
    auto& shared = *static_cast<SharedCall*>(context);
    InferenceScratch& scratch = *shared.scratches[static_cast<size_t>(thread)];
    for (Chunk chunk = shared.next_chunk(); chunk.images > 0; chunk = shared.next_chunk()) {
        const uint8_t* images = shared.job.images.data + chunk.start * kPixels;
        float* logits = shared.job.logits.data + chunk.start * kClasses;
        shared.kernels.classify(scratch.for_images(images, chunk.images), logits);
    }
}

}  // namespace

// Scratches of one call, idle again when it ends.
class Classifier::ScratchLease {
public:
    ScratchLease(Classifier& owner, int count) : owner_(owner) {
        const auto wanted = static_cast<size_t>(count);
        scratches.reserve(wanted);
        {
            const std::lock_guard<std::mutex> lock(owner.mutex_);
            for (; scratches.size() < wanted && !owner.idle_.empty(); owner.idle_.pop_back())
                scratches.push_back(std::move(owner.idle_.back()));
        }
        while (scratches.size() < wanted)
            scratches.push_back(std::make_unique<InferenceScratch>(owner.weights_.workspace, kMaxChunk));
    }

    ~ScratchLease() {
        const std::lock_guard<std::mutex> lock(owner_.mutex_);
        try {
            for (std::unique_ptr<InferenceScratch>& scratch : scratches) owner_.idle_.push_back(std::move(scratch));
        } catch (const std::bad_alloc&) {  // the rest are freed instead of kept
        }
    }

    std::vector<std::unique_ptr<InferenceScratch>> scratches;

private:
    Classifier& owner_;
};

Classifier::Classifier(const Model& model, const Kernels& kernels)
    : kernels_(kernels),
      threads_(model.threads),
      min_images_per_thread_(model.min_work_per_thread / work_per_image(model.network)),
      job_(job_of(model)),
      weights_(job_, kernels.lanes, kernels.panel_floats) {
    kernels.load_weights(weights_.workspace);
    for (Layer& layer : job_.network.layers) layer.weight = layer.bias = {};  // the caller may free them
}

int Classifier::threads_for(int64_t images) const {
    const auto pieces = static_cast<double>((images + kMinChunk - 1) / kMinChunk);
    const double useful = std::min(static_cast<double>(images) / min_images_per_thread_, pieces);
    return useful < 2 ? 1 : useful < threads_ ? static_cast<int>(useful) : threads_;
}

const char* Classifier::classify(const Classification& job) {
    if (const char* problem = problem_of(job)) return problem;
    const int64_t images = job.images.size / kPixels;
    if (images == 0) return nullptr;
    const int threads = threads_for(images);
    const ScratchLease lease(*this, threads);
    SharedCall shared{kernels_, job, lease.scratches, images, threads};
    return run_team(threads, take_chunks, &shared) ? nullptr : kNoThreads;
}

const char* make_classifier(const Model& model, Level level, std::unique_ptr<Classifier>& classifier) {
    if (const char* problem = problem_of(model)) return problem;
    if (!runs_here(level)) return kNoLevel;
    classifier = std::make_unique<Classifier>(model, *kernels_of(level));
    return nullptr;
}

}  // namespace accelmnist
