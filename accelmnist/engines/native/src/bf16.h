// Numbers in bf16, the upper half of a float: rounding to them, in pairs, and the products of pairs.
//
// A product of two bf16 is exact in float32. A pair's two products are added to a float32 sum one after the other, the
// second first, each sum rounded to nearest: the order of VDPBF16PS (Intel's manual, volume 2), so that it and the
// plain form give the same bits, on a processor that flushes denormals.

#pragma once

#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

typedef uint16_t Words __attribute__((vector_size(ACCELMNIST_VECTOR_BYTES / 2)));

INLINE Unsigned load_factors(const Pair* from) {
    Unsigned pairs;
    std::memcpy(&pairs, __builtin_assume_aligned(from, sizeof pairs), sizeof pairs);
    return pairs;
}

INLINE void store_pairs(Pair* to, Unsigned pairs) {
    std::memcpy(__builtin_assume_aligned(to, sizeof pairs), &pairs, sizeof pairs);
}

INLINE Unsigned broadcast_factor(Pair pair) { return Unsigned{} + pair; }

INLINE Floats first_of(Unsigned pairs) { return reinterpret_cast<Floats>(pairs << 16); }
INLINE Floats second_of(Unsigned pairs) { return reinterpret_cast<Floats>(pairs & 0xffff0000u); }

// Rounds to nearest, ties to even; the lower half is anything. A NaN stays one: its highest bit that counts is set.
INLINE Unsigned rounded(Floats value) {
    const Unsigned bits = reinterpret_cast<Unsigned>(value);
    return value == value ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
}

// Pairs of a number from each of two vectors.
INLINE Unsigned pairs_of(Floats first, Floats second) {
#ifdef __AVX512BF16__
    const __m512i apart = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    const Ints numbers = lane_numbers(), together = numbers | (numbers + kLanes) << 16;  // of words
    return (Unsigned)_mm512_permutexvar_epi16((__m512i)together, apart);
#else
    return rounded(first) >> 16 | (rounded(second) & 0xffff0000u);
#endif
}

// The same of numbers that are bf16 already.
INLINE Unsigned exact_pairs(Floats first, Floats second) {
    return reinterpret_cast<Unsigned>(first) >> 16 | reinterpret_cast<Unsigned>(second);
}

// Stores a vector's numbers one after the other, as half as many pairs.
INLINE void store_row(Pair* to, Floats value) {
#ifdef __AVX512BF16__
    const __m256bh words = _mm512_cvtneps_pbh((__m512)value);
#else
    const Words words = __builtin_convertvector(rounded(value) >> 16, Words);
#endif
    std::memcpy(__builtin_assume_aligned(to, sizeof words), &words, sizeof words);
}

// sums + the products of pairs
INLINE Floats add_products(Floats sums, Unsigned left, Unsigned right) {
#ifdef __AVX512BF16__
    return (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)left, (__m512bh)right);
#else
    sums += second_of(left) * second_of(right);
    return sums + first_of(left) * first_of(right);
#endif
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
