// Threads that work together for one call, and the barrier at which they meet.

#pragma once

#include <cstdint>

namespace accelmnist {

struct Barrier;

// Returns when all of the team's threads have called it; what they wrote before is visible to all behind it.
void meet(Barrier& barrier);

// `barrier` is null where the team is one thread.
using Work = void (*)(void* context, Barrier* barrier, int thread);

// Runs `work` on `threads` threads, the calling one among them, and returns when all have ended. Nothing outlives the
// call, so a fork between calls is harmless. False where the system gives no more threads: then nothing ran.
bool run_team(int threads, Work work, void* context);

}  // namespace accelmnist
