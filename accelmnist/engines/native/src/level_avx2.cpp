// Code for x86-64 with AVX2 and FMA, compiled with flags of its own: see setup.py.

#define ACCELMNIST_LEVEL avx2
#define ACCELMNIST_VECTOR_BYTES 32
#define ACCELMNIST_PANEL_FLOATS 64

#include "level.h"
