// Code for x86-64 with AVX-512 (F, BW, DQ, VL, BF16) and tiles (AMX), compiled with flags of its own: see setup.py.

#define ACCELMNIST_LEVEL amx
#define ACCELMNIST_VECTOR_BYTES 64
#define ACCELMNIST_PANEL_FLOATS 64
#define ACCELMNIST_TILES

#ifdef ACCELMNIST_TILES_STAND_IN  // for tests, on processors that have none
#include ACCELMNIST_TILES_STAND_IN
#else
#include "tiles.h"
#endif

#include "level.h"
