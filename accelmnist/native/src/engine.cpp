#include "engine.h"

#include <vector>

#include "layout.h"

namespace accelmnist {

namespace plain {
extern const Kernels kKernels;
}
#ifdef ACCELMNIST_X86
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

namespace {

constexpr int64_t kClassifiedTogether = 128;  // images; their activations and lists stay in the second-level cache

const Kernels* kernels_of(Level level) {
    switch (level) {
        case Level::plain: return &plain::kKernels;
#ifdef ACCELMNIST_X86
        case Level::avx2: return &avx2::kKernels;
        case Level::avx512: return &avx512::kKernels;
#endif
        default: return nullptr;
    }
}

bool has_instructions(Level level) {
#ifdef ACCELMNIST_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (level == Level::avx2) return has_avx2;
#ifdef ACCELMNIST_AVX512_BY_AVX2  // for tests: the sources of the wide level, compiled for AVX2
    if (level == Level::avx512) return has_avx2;
#endif
    if (level == Level::avx512)
        return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return level == Level::plain;
}

constexpr const char* kNoThreads = "the system gives no more threads";
constexpr const char* kNoLevel = "this processor lacks the instructions";

struct Writing {
    const Kernels* kernels;
    const Listing* job;
    const PixelSet* set;
};

struct Training {
    const Kernels* kernels;
    const Workspace* space;
};

// One thread's classification: a job of one chunk, and the memory for it.
struct Share {
    Share(const Classification& job, const Kernels& kernels, int64_t batch)
        : pixels(batch), epoch(epoch_of(job, batch)), layout(epoch, kernels.lanes, kernels.panel_floats) {
        epoch.pixels = &pixels.set;
    }

    static Epoch epoch_of(const Classification& job, int64_t batch) {
        Epoch epoch;
        epoch.network = job.network;
        epoch.order.size = batch;  // room for where the records of a chunk begin
        epoch.batch = batch;
        return epoch;
    }

    PixelStore pixels;  // of a chunk
    Epoch epoch;
    Layout layout;
};

struct Sharing {
    const Kernels* kernels;
    const Classification* job;
    std::vector<std::unique_ptr<Share>> shares;
    Counter counter;
};

}  // namespace

const char* name_of(Level level) {
    switch (level) {
        case Level::plain: return "plain";
        case Level::avx2: return "avx2";
        default: return "avx512";
    }
}

bool is_built(Level level) { return kernels_of(level) != nullptr; }

bool runs_here(Level level) { return is_built(level) && has_instructions(level); }

Level best_level() {
    for (Level level : {Level::avx512, Level::avx2})
        if (runs_here(level)) return level;
    return Level::plain;
}

const char* list_pixels(const Listing& job, Level level, std::unique_ptr<PixelStore>& made) {
    if (const char* problem = problem_of(job)) return problem;
    if (!runs_here(level)) return kNoLevel;
    made = std::make_unique<PixelStore>(job.images.size / kPixels);
    Writing writing{kernels_of(level), &job, &made->set};
    const Work work = [](void* context, Barrier*, int thread) {
        const auto& writing = *static_cast<const Writing*>(context);
        const int64_t images = writing.set->images, threads = writing.job->threads;
        const int64_t from = images * thread / threads, until = images * (thread + 1) / threads;
        writing.kernels->write_records(writing.job->images.data + from * kPixels, from, until, *writing.set);
    };
    return run_team(job.threads, work, &writing) ? nullptr : kNoThreads;
}

const char* train(const Epoch& job, Level level) {
    if (const char* problem = problem_of(job)) return problem;
    if (!runs_here(level)) return kNoLevel;
    const Kernels* kernels = kernels_of(level);
    Layout layout(job, kernels->lanes, kernels->panel_floats);
    if (const char* problem = layout.copy_indexes()) return problem;
    Training training{kernels, &layout.workspace};
    const Work work = [](void* context, Barrier* barrier, int thread) {
        const auto& training = *static_cast<const Training*>(context);
        training.kernels->train(*training.space, barrier, thread);
    };
    return run_team(job.threads, work, &training) ? nullptr : kNoThreads;
}

const char* classify(const Classification& job, Level level) {
    if (const char* problem = problem_of(job)) return problem;
    if (!runs_here(level)) return kNoLevel;
    const int64_t images = job.images.size / kPixels;
    if (images == 0) return nullptr;
    const int64_t batch = images < kClassifiedTogether ? images : kClassifiedTogether;
    const int64_t chunks = (images + batch - 1) / batch;
    const int threads = chunks < job.threads ? static_cast<int>(chunks) : job.threads;
    Sharing sharing{kernels_of(level), &job, {}, {}};
    for (int thread = 0; thread < threads; ++thread)
        sharing.shares.push_back(std::make_unique<Share>(job, *sharing.kernels, batch));
    const Work work = [](void* context, Barrier*, int thread) {
        auto& sharing = *static_cast<Sharing*>(context);
        Share& share = *sharing.shares[static_cast<size_t>(thread)];
        sharing.kernels->classify(share.layout.workspace, share.epoch, *sharing.job, sharing.counter);
    };
    return run_team(threads, work, &sharing) ? nullptr : kNoThreads;
}

}  // namespace accelmnist
