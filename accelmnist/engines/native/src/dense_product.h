// Products in float32 of all there is, zeros too.
//
//   multiply_rows  sums = start + left * right: a row is an image and a step an input, or a row an input and a step an
//                  image
//   dot_inputs     the sums of an image's gradients times the rows of weights from one input each, over all units:
//                  both lie side by side, so that a vector holds some units and its lanes are added up at the end

#pragma once

#include "product.h"
#include "rows.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// What the registers hold, which number 32 with 16 lanes.
constexpr int kDenseRows = kLanes == 16 ? 4 : 3;
constexpr int kDenseVectors = 4;
constexpr int kDotRows = kLanes == 16 ? 6 : 3;

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

// out[row * out_step] to the fourth number from there = the dot products of kRowCount images, from `image` on, with
// four inputs from `input` on.
template <int kRowCount>
static void dot_block(const LayerSpace& layer, int64_t image, int64_t input, float* out, int64_t out_step) {
    Floats sums[kRowCount][kDotInputs] = {};
    for (int number = 0; number < layer.panel_count; ++number) {
        const Panel& panel = layer.panels[number];
        const float *deltas = panel.deltas + image * panel.width, *weights = panel.weight + input * panel.width;
        for (int at = 0; at < panel.width; at += kLanes) {
            Floats values[kRowCount];
            for (int row = 0; row < kRowCount; ++row) values[row] = load(deltas + row * panel.width + at);
            for (int one = 0; one < kDotInputs; ++one) {
                const Floats factors = load(weights + one * panel.width + at);
                for (int row = 0; row < kRowCount; ++row) sums[row][one] += values[row] * factors;
            }
        }
    }
    for (int row = 0; row < kRowCount; ++row) {
        float lanes[kDotInputs] = {};
        add_lanes_of_four(sums[row], lanes);
        std::memcpy(out + row * out_step, lanes, sizeof lanes);
    }
}

// out[image * out_step + one] for all images and for the `inputs` inputs from `first` on, rounded up to a multiple of
// four.
static void dot_inputs(const LayerSpace& layer, int64_t images, int64_t first, int inputs, float* out, int64_t out_step) {
    constexpr int kBlock = 16;  // inputs, whose rows of weights stay in the first-level cache
    for (int block = 0; block < inputs; block += kBlock) {
        const int end = block + kBlock < inputs ? block + kBlock : inputs;
        int64_t image = 0;
        for (; image + kDotRows <= images; image += kDotRows)
            for (int input = block; input < end; input += kDotInputs)
                dot_block<kDotRows>(layer, image, first + input, out + image * out_step + input, out_step);
        for (; image < images; ++image)
            for (int input = block; input < end; input += kDotInputs)
                dot_block<1>(layer, image, first + input, out + image * out_step + input, out_step);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
