// A team of threads for one call, and its barrier.

#pragma once

#include <cstdint>

namespace accelmnist {

struct Barrier;

// Returns when all of the team's threads have called it; all then see what each wrote before.
void barrier_wait(Barrier& barrier);

// `barrier` is null if the team is one thread.
using Work = void (*)(void* context, Barrier* barrier, int thread);

// Runs `work` on `threads` threads, the calling one among them, and returns when all have ended. Nothing outlives the
// call, so a fork between calls is harmless. Returns false if the system gives no more threads; then nothing ran.
bool run_team(int threads, Work work, void* context);

}  // namespace accelmnist
