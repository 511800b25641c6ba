#include "engine.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#ifdef ACCELMNIST_X86
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
#ifdef ACCELMNIST_AVX512BF16
namespace avx512bf16 {
extern const Kernels kKernels;
}
#endif
#ifdef ACCELMNIST_AMX
namespace amx {
extern const Kernels kKernels;
}
#endif

namespace {

#ifdef ACCELMNIST_X86

// Whether the processor announces tiles and their product in bf16: CPUID, leaf 7, EDX (Intel's manual, volume 2).
bool has_tiles() {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) && (d >> 24 & 1);
}

// Asks the system, once for the process, to save tiles with its threads: until then their use is a fault. Returns why
// it doesn't, or nullptr. A container or a sandbox may refuse what the processor has.
const char* tiles_refused() {
#if defined(ACCELMNIST_AVX512_BY_AVX2)
    return nullptr;
#elif defined(__linux__)
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM: the kernel's x86/xstate.rst
    static const int error = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
    static const std::string refusal =
        std::string("this processor has tiles, but the system refuses their use: ") + std::strerror(error);
    return error ? refusal.c_str() : nullptr;
#else
    return "this processor has tiles, but only Linux is asked for them";
#endif
}

#endif

bool has_instructions(Level level) {
#ifdef ACCELMNIST_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (level == Level::avx2) return has_avx2;
#ifdef ACCELMNIST_AVX512_BY_AVX2  // for tests: the sources of the wide levels, compiled for AVX2
    if (level == Level::avx512 || level == Level::amx) return has_avx2;
#endif
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (level == Level::avx512) return has_avx512;
    if (level == Level::avx512bf16) return has_avx512 && __builtin_cpu_supports("avx512bf16");
    if (level == Level::amx) return has_avx512 && __builtin_cpu_supports("avx512bf16") && has_tiles();
#endif
    return level == Level::plain;
}

struct WriteContext {
    const Kernels* kernels;
    const Listing* job;
    const PixelSet* set;
};

struct TrainContext {
    const Kernels* kernels;
    const Workspace* space;
};

}  // namespace

const char* name_of(Level level) {
    switch (level) {
        case Level::plain: return "plain";
        case Level::avx2: return "avx2";
        case Level::avx512: return "avx512";
        case Level::avx512bf16: return "avx512bf16";
        default: return "amx";
    }
}

const Kernels* kernels_of(Level level) {
    switch (level) {
        case Level::plain: return &plain::kKernels;
#ifdef ACCELMNIST_X86
        case Level::avx2: return &avx2::kKernels;
        case Level::avx512: return &avx512::kKernels;
#endif
#ifdef ACCELMNIST_AVX512BF16
        case Level::avx512bf16: return &avx512bf16::kKernels;
#endif
#ifdef ACCELMNIST_AMX
        case Level::amx: return &amx::kKernels;
#endif
        default: return nullptr;
    }
}

const char* why_not(Level level) {
    if (!kernels_of(level)) return "the compiler that built the kernels has no such instructions";
    if (!has_instructions(level)) return kNoLevel;
#ifdef ACCELMNIST_X86
    if (level == Level::amx) return tiles_refused();
#endif
    return nullptr;
}

bool runs_here(Level level) { return why_not(level) == nullptr; }

Level best_level() {
    for (Level level : {Level::amx, Level::avx512bf16, Level::avx512, Level::avx2})
        if (runs_here(level)) return level;
    return Level::plain;
}

const char* list_pixels(const Listing& job, Level level, std::unique_ptr<PixelStore>& store) {
    if (const char* problem = problem_of(job)) return problem;
    if (!runs_here(level)) return kNoLevel;
    store = std::make_unique<PixelStore>(job.images.size / kPixels);
    WriteContext write{kernels_of(level), &job, &store->set};
    const Work work = [](void* context, Barrier*, int thread) {
        const auto& write = *static_cast<const WriteContext*>(context);
        const int64_t images = write.set->images, threads = write.job->threads;
        const int64_t from = images * thread / threads, until = images * (thread + 1) / threads;
        write.kernels->write_records(write.job->images.data + from * kPixels, from, until, *write.set);
    };
    return run_team(job.threads, work, &write) ? nullptr : kNoThreads;
}

const char* train(const Epoch& job, Level level) {
    if (const char* problem = problem_of(job)) return problem;
    if (!runs_here(level)) return kNoLevel;
    const Kernels* kernels = kernels_of(level);
    Layout layout(job, kernels->lanes, kernels->panel_floats);
    if (const char* problem = layout.copy_indexes()) return problem;
    TrainContext training{kernels, &layout.workspace};
    const Work work = [](void* context, Barrier* barrier, int thread) {
        const auto& training = *static_cast<const TrainContext*>(context);
        training.kernels->train(*training.space, barrier, thread);
    };
    return run_team(job.threads, work, &training) ? nullptr : kNoThreads;
}

}  // namespace accelmnist
