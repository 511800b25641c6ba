// Code for any processor that the compiler knows: SSE2 on x86-64, NEON on Arm. A vector is two registers there.

#define ACCELMNIST_LEVEL plain
#define ACCELMNIST_VECTOR_BYTES 32
#define ACCELMNIST_PANEL_FLOATS 32

#include "level.h"
