// The product in float32 of all there is, zeros too: sums = start + left * right.

#pragma once

#include "product.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// What the registers hold, which number 32 with 16 lanes.
constexpr int kDenseRows = kLanes == 16 ? 4 : 3;
constexpr int kDenseVectors = 4;

// A row of sums starts at at[row * step]; with a step of 0 all start alike.
struct Start {
    const float* at;
    int64_t step;
};

template <int kRowCount, int kVectors, class Finish>
INLINE void multiply_block(
    const LeftOf<float>& left, const RightOf<float>& right, int64_t steps, int64_t row, int first, const Start& start,
    Finish finish
) {
    Floats sums[kRowCount][kVectors];
    for (int at = 0; at < kRowCount; ++at)
        for (int vector = 0; vector < kVectors; ++vector)
            sums[at][vector] = load(start.at + (row + at) * start.step + (first + vector) * kLanes);
    add_block(left.from(row, 0), {right.at + first * kLanes, right.step}, Counted{steps}, sums);
#pragma GCC unroll 8  // with a row's number that isn't known the sums would leave the registers
    for (int at = 0; at < kRowCount; ++at) finish(row + at, first, sums[at]);
}

template <int kVectors, class Finish>
INLINE void multiply_columns(
    const LeftOf<float>& left, const RightOf<float>& right, int64_t steps, int64_t rows, int first, const Start& start,
    Finish finish
) {
    int64_t row = 0;
    for (; row + kDenseRows <= rows; row += kDenseRows)
        multiply_block<kDenseRows, kVectors>(left, right, steps, row, first, start, finish);
    for (; row < rows; ++row) multiply_block<1, kVectors>(left, right, steps, row, first, start, finish);
}

// Calls finish(row, vector, sums) with the sums of each of `rows` rows, some vectors of them from number `vector` on. A
// row's sums are the same to the bit wherever it lies.
template <class Finish>
INLINE void multiply_rows(
    const LeftOf<float>& left, const RightOf<float>& right, int64_t steps, int64_t rows, int vectors,
    const Start& start, Finish finish
) {
    int first = 0;
    for (; first + kDenseVectors <= vectors; first += kDenseVectors)
        multiply_columns<kDenseVectors>(left, right, steps, rows, first, start, finish);
    switch (vectors - first) {
        case 3: return multiply_columns<3>(left, right, steps, rows, first, start, finish);
        case 2: return multiply_columns<2>(left, right, steps, rows, first, start, finish);
        case 1: return multiply_columns<1>(left, right, steps, rows, first, start, finish);
        default: return;
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
