// A processor that has every instruction, and a system that refuses its tiles with the number of an error, or grants
// them: 0. Writes why each level can't run there, which is empty if it can.

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

static int refusal = 0;

static int announce_tiles(unsigned, unsigned, unsigned* a, unsigned* b, unsigned* c, unsigned* d) {
    *a = *b = *c = 0;
    *d = 1u << 22 | 1u << 24;
    return 1;
}

static long answer(long number, long code, long feature) {
    if (number != SYS_arch_prctl || code != 0x1023 || feature != 18) std::abort();
    errno = refusal;
    return refusal ? -1 : 0;
}

#define __get_cpuid_count announce_tiles
#define __builtin_cpu_supports(instructions) true
#define syscall answer
#include "engine.cpp"

namespace accelmnist {
const Kernels plain::kKernels{}, avx2::kKernels{}, avx512::kKernels{}, avx512bf16::kKernels{}, amx::kKernels{};
}

int main(int, char** arguments) {
    using namespace accelmnist;
    refusal = std::atoi(arguments[1]);
    for (int level = 0; level < static_cast<int>(Level::count); ++level) {
        const char* reason = why_not(static_cast<Level>(level));
        std::printf("%s: %s\n", name_of(static_cast<Level>(level)), reason ? reason : "");
    }
    return 0;
}
