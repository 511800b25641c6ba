// Small squares turned by a quarter: rows become columns.

#pragma once

#include "vector.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Eight rows of eight bytes, `from` apart, turned into eight rows `to` apart.
INLINE void turn_bytes(const uint8_t* rows, int from, uint8_t* turned, int to) {
#ifdef __SSE2__
    __m128i row[8], pair[4], four[4];
    for (int at = 0; at < 8; ++at) row[at] = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows + at * from));
    for (int at = 0; at < 4; ++at) pair[at] = _mm_unpacklo_epi8(row[2 * at], row[2 * at + 1]);
    for (int half = 0; half < 2; ++half) {
        four[half] = _mm_unpacklo_epi16(pair[2 * half], pair[2 * half + 1]);
        four[half + 2] = _mm_unpackhi_epi16(pair[2 * half], pair[2 * half + 1]);
    }
    // four[0], four[1]: columns 0 to 3 of rows 0 to 3 and 4 to 7; four[2], four[3]: columns 4 to 7.
    for (int side = 0; side < 2; ++side) {
        const __m128i low = _mm_unpacklo_epi32(four[2 * side], four[2 * side + 1]);
        const __m128i high = _mm_unpackhi_epi32(four[2 * side], four[2 * side + 1]);
        uint8_t* place = turned + 4 * side * to;
        _mm_storel_epi64(reinterpret_cast<__m128i*>(place), low);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(place + to), _mm_unpackhi_epi64(low, low));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(place + 2 * to), high);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(place + 3 * to), _mm_unpackhi_epi64(high, high));
    }
#else
    for (int row = 0; row < 8; ++row)
        for (int place = 0; place < 8; ++place) turned[place * to + row] = rows[row * from + place];
#endif
}

// The same of floats.
INLINE void turn_numbers(const float* rows, int from, float* turned, int to) {
#ifdef __AVX2__
    __m256 row[8], pair[8], four[8];
    for (int at = 0; at < 8; ++at) row[at] = _mm256_loadu_ps(rows + at * from);
    for (int at = 0; at < 8; at += 2) {
        pair[at] = _mm256_unpacklo_ps(row[at], row[at + 1]);
        pair[at + 1] = _mm256_unpackhi_ps(row[at], row[at + 1]);
    }
    for (int at = 0; at < 8; at += 4)
        for (int side = 0; side < 2; ++side) {
            four[at + 2 * side] = _mm256_shuffle_ps(pair[at + side], pair[at + side + 2], 0x44);
            four[at + 2 * side + 1] = _mm256_shuffle_ps(pair[at + side], pair[at + side + 2], 0xee);
        }
    for (int at = 0; at < 4; ++at) {
        _mm256_storeu_ps(turned + at * to, _mm256_permute2f128_ps(four[at], four[at + 4], 0x20));
        _mm256_storeu_ps(turned + (at + 4) * to, _mm256_permute2f128_ps(four[at], four[at + 4], 0x31));
    }
#else
    for (int row = 0; row < 8; ++row)
        for (int place = 0; place < 8; ++place) turned[place * to + row] = rows[row * from + place];
#endif
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
