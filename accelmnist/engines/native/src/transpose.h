// The transpose of a small square matrix.

#pragma once

#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Transposes eight rows of eight floats, `from` apart, into eight rows `to` apart.
INLINE void transpose_8x8(const float* rows, int64_t from, float* transposed, int64_t to) {
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
        _mm256_storeu_ps(transposed + at * to, _mm256_permute2f128_ps(four[at], four[at + 4], 0x20));
        _mm256_storeu_ps(transposed + (at + 4) * to, _mm256_permute2f128_ps(four[at], four[at + 4], 0x31));
    }
#else
    for (int row = 0; row < 8; ++row)
        for (int column = 0; column < 8; ++column) transposed[column * to + row] = rows[row * from + column];
#endif
}

// Turns eight rows of `columns` numbers of 32 bits, `from` apart, into as many rows of eight, `to` apart.
INLINE void turn_rows(const Pair* rows, int64_t from, int columns, Pair* turned, int64_t to) {
    int column = 0;
#ifdef __AVX2__
    for (; column + 8 <= columns; column += 8)
        transpose_8x8(
            reinterpret_cast<const float*>(rows + column), from, reinterpret_cast<float*>(turned + column * to), to
        );
#endif
    for (; column < columns; ++column)
        for (int row = 0; row < 8; ++row) turned[column * to + row] = rows[row * from + column];
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
