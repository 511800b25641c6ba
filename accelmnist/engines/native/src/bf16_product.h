// The product of two matrices of pairs, some rows at a time: see bf16.h.
//
// Whatever a step multiplies has the same form. The sums have a row for each image and a column for each unit, or a row
// for each input and a column for each unit; what is summed over are pairs: of inputs, of units or of images, at most
// kPairsAtOnce. A mask has a bit for every pair that counts; of those that are zero in all rows of the left matrix it
// needs none.

#pragma once

#include "bf16.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Row `row` at pair `pair` is at[row * row_step + pair * pair_step].
struct Left {
    const Pair* at;
    int64_t row_step, pair_step;

    ALWAYS_INLINE Left from(int64_t row, int64_t pair) const {
        return {at + row * row_step + pair * pair_step, row_step, pair_step};
    }
};

// The columns of pair `pair` begin at at[pair * step].
struct Right {
    const Pair* at;
    int64_t step;
};

INLINE uint64_t lowest_bits(int64_t count) { return count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0}; }

constexpr int kRows = 4;                              // of sums, and of columns that many vectors,
constexpr int kColumnVectors = kLanes == 16 ? 4 : 2;  // at once: what the registers hold

// The form of this level: no unit for tiles has to be set up.
struct TileUnit {
    TileUnit() {}
};

template <int kVectors, class Finish>
INLINE void multiply_columns(
    const Left& left, const Right& right, uint64_t mask, int rows, int first, const float* start, int64_t width,
    Finish finish
) {
    Floats sums[kRows][kVectors] = {};
    if (start)
        for (int row = 0; row < kRows; ++row)
            for (int vector = 0; vector < kVectors; ++vector)
                sums[row][vector] = load(start + row * width + (first + vector) * kLanes);
    for (; mask; mask &= mask - 1) {
        const int64_t pair = __builtin_ctzll(mask);
        const Pair* columns = right.at + pair * right.step + first * kLanes;
        const Pair* values = left.at + pair * left.pair_step;
        Unsigned factors[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) factors[vector] = load_pairs(columns + vector * kLanes);
        for (int row = 0; row < kRows; ++row) {
            const Unsigned value = broadcast_pair(values[row * left.row_step]);
            for (int vector = 0; vector < kVectors; ++vector)
                sums[row][vector] = add_products(sums[row][vector], value, factors[vector]);
        }
    }
#pragma GCC unroll 4  // with a row's number that isn't known the sums would leave the registers
    for (int row = 0; row < kRows; ++row)
        if (row < rows) finish(row, first, sums[row]);
}

// Calls finish(row, vector, sums) with the sums of each of `rows` rows, at most kRows, some vectors of them from number
// `vector` on. They begin with those at `start` (kRows, width), or with 0. All kRows rows of `left` can be read.
template <class Finish>
static ALWAYS_INLINE void multiply_rows(
    const Left& left, const Right& right, uint64_t mask, int rows, int vectors, const float* start, int64_t width,
    Finish finish
) {
    int first = 0;
    for (; first + kColumnVectors <= vectors; first += kColumnVectors)
        multiply_columns<kColumnVectors>(left, right, mask, rows, first, start, width, finish);
    switch (vectors - first) {
        case 3: return multiply_columns<3>(left, right, mask, rows, first, start, width, finish);
        case 2: return multiply_columns<2>(left, right, mask, rows, first, start, width, finish);
        case 1: return multiply_columns<1>(left, right, mask, rows, first, start, width, finish);
        default: return;
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
