#include "team.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace accelmnist {
namespace {

// Some 30 microseconds: longer than a balanced step's wait, short enough not to starve the awaited thread if both share
// a processor. Then the thread sleeps.
constexpr int kSpins = 1000;

void cpu_pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
}

// Lets `other`, number `thread` of a team, begin on a processor of its own: a new thread often begins on that of its
// maker, and both share it for milliseconds. Afterwards the system chooses where it runs.
void begin_elsewhere(std::thread& other, int thread) {
#ifdef __linux__
    cpu_set_t allowed, one;
    const int here = sched_getcpu();
    if (here < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    int skipped = (thread - 1) % (CPU_COUNT(&allowed) > 1 ? CPU_COUNT(&allowed) - 1 : 1);
    for (int cpu = here + 1; cpu < here + CPU_SETSIZE; ++cpu) {
        const int candidate = cpu % CPU_SETSIZE;
        if (!CPU_ISSET(candidate, &allowed) || skipped-- > 0) continue;
        CPU_ZERO(&one);
        CPU_SET(candidate, &one);
        if (pthread_setaffinity_np(other.native_handle(), sizeof one, &one) == 0)
            pthread_setaffinity_np(other.native_handle(), sizeof allowed, &allowed);
        return;
    }
#else
    (void)other, (void)thread;
#endif
}

}  // namespace

struct Barrier {
    explicit Barrier(int members) : members(members) {}

    const int members;
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<uint32_t> round{0};
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable woken;
};

void barrier_wait(Barrier& barrier) {
    const uint32_t round = barrier.round.load(std::memory_order_relaxed);
    if (barrier.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == barrier.members) {
        barrier.arrived.store(0, std::memory_order_relaxed);
        barrier.round.store(round + 1, std::memory_order_seq_cst);
        if (barrier.sleepers.load(std::memory_order_seq_cst) > 0) {
            const std::lock_guard<std::mutex> lock(barrier.mutex);
            barrier.woken.notify_all();
        }
        return;
    }
    for (int spin = 0; spin < kSpins; ++spin) {
        if (barrier.round.load(std::memory_order_acquire) != round) return;
        cpu_pause();
    }
    std::unique_lock<std::mutex> lock(barrier.mutex);
    // Counted before the round is read once more: either this thread sees the new round, or the last one sees its
    // sleep.
    barrier.sleepers.fetch_add(1, std::memory_order_seq_cst);
    barrier.woken.wait(lock, [&] { return barrier.round.load(std::memory_order_seq_cst) != round; });
    barrier.sleepers.fetch_sub(1, std::memory_order_relaxed);
}

bool run_team(int threads, Work work, void* context) {
    if (threads == 1) {
        work(context, nullptr, 0);
        return true;
    }
    Barrier barrier(threads);
    std::mutex mutex;
    std::condition_variable opened;
    enum { waiting, go, leave } gate = waiting;
    const auto member = [&](int thread) {
        {
            std::unique_lock<std::mutex> lock(mutex);
            opened.wait(lock, [&] { return gate != waiting; });
            if (gate == leave) return;
        }
        work(context, &barrier, thread);
    };
    const auto open = [&](bool start) {
        const std::lock_guard<std::mutex> lock(mutex);
        gate = start ? go : leave;
        opened.notify_all();
    };
    std::vector<std::thread> others;
    bool all_started = true;
    try {
        others.reserve(static_cast<size_t>(threads) - 1);
        for (int thread = 1; thread < threads; ++thread) {
            others.emplace_back(member, thread);
            begin_elsewhere(others.back(), thread);
        }
    } catch (const std::system_error&) {
        all_started = false;
    }
    open(all_started);
    if (all_started) work(context, &barrier, 0);
    for (std::thread& other : others) other.join();
    return all_started;
}

}  // namespace accelmnist
