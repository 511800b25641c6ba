// Code for x86-64 with AVX-512 (F, BW, DQ, VL, BF16), compiled with flags of its own: see setup.py.

#define ACCELMNIST_LEVEL avx512bf16
#define ACCELMNIST_VECTOR_BYTES 64
#define ACCELMNIST_PANEL_FLOATS 64

#include "level.h"
