// The product of two matrices of pairs, some rows at a time: see product.h and bf16.h.
//
// What is summed over are at most kPairsAtOnce pairs. A mask has a bit for every pair that counts; of those that are
// zero in all rows of the left matrix it needs none.
//
// Tiles take 16 rows and 16 pairs at once, whatever counts of them: what a mask leaves out has to be zero on one side.

#pragma once

#include <type_traits>

#include "product.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

using Left = LeftOf<Pair>;
using Right = RightOf<Pair>;

template <int kNumber>
using Number = std::integral_constant<int, kNumber>;

INLINE uint64_t lowest_bits(int64_t count) { return count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0}; }

#ifdef ACCELMNIST_TILES

constexpr int kRows = 16;  // of sums, and of columns that many vectors, at once: four of the eight tiles
constexpr int kColumnVectors = 4;
constexpr bool kTurnsImages = true;  // what a tile is loaded from has a row's pairs side by side
static_assert(kLanes == 16 && kRows == kImagePadding, "a tile is as wide as a vector, and all its rows can be read");

template <int kVectors, class Finish>
INLINE void multiply_columns(
    const Left& left, const Right& right, uint64_t mask, int rows, int first, const float* start, int64_t width,
    Finish finish
) {
    constexpr int kPairs = 16;  // of a tile's row
    const auto begin = [&](auto tile) {
        if constexpr (tile < kVectors) {
            if (start)
                load_tile<tile>(start + (first + tile) * kLanes, width);
            else
                zero_tile<tile>();
        }
    };
    const auto multiply = [&](auto tile, int pair) {
        if constexpr (tile < kVectors) {
            load_tile<5 + tile % 3>(right.at + pair * right.step + (first + tile) * kLanes, right.step);
            multiply_tiles<tile, 4, 5 + tile % 3>();
        }
    };
    alignas(64) float out[kRows][kPanelFloats];
    const auto end = [&](auto tile) {
        if constexpr (tile < kVectors) store_tile<tile>(out[0] + tile * kLanes, kPanelFloats);
    };
    constexpr Number<0> kFirst;
    constexpr Number<1> kSecond;
    constexpr Number<2> kThird;
    constexpr Number<3> kFourth;
    begin(kFirst), begin(kSecond), begin(kThird), begin(kFourth);
    for (int pair = 0; pair < kPairsAtOnce; pair += kPairs) {
        if (!(mask >> pair & lowest_bits(kPairs))) continue;
        load_tile<4>(left.at + pair, left.row_step);
        multiply(kFirst, pair), multiply(kSecond, pair), multiply(kThird, pair), multiply(kFourth, pair);
    }
    end(kFirst), end(kSecond), end(kThird), end(kFourth);
    for (int row = 0; row < rows; ++row) {
        Floats sums[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] = load(out[row] + vector * kLanes);
        finish(row, first, sums);
    }
}

#else

constexpr int kRows = 4;                              // of sums, and of columns that many vectors,
constexpr int kColumnVectors = kLanes == 16 ? 4 : 2;  // at once: what the registers hold
constexpr bool kTurnsImages = false;

struct TileUnit {  // none to be set up
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
    add_block(left, Right{right.at + first * kLanes, right.step}, Masked{mask}, sums);
#pragma GCC unroll 4  // with a row's number that isn't known the sums would leave the registers
    for (int row = 0; row < kRows; ++row)
        if (row < rows) finish(row, first, sums[row]);
}

#endif

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
