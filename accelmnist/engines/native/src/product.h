// The product of two matrices, some rows and columns of sums at a time, which stay in registers.
//
// Whatever a step multiplies has the same form. The sums have a row for each image and a column for each unit, or a row
// for each input and a column for each unit; what is summed over, step by step, are inputs, units or images. In float32
// the factors are numbers, in bf16 pairs of them: see bf16.h.

#pragma once

#include "bf16.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Row `row` at step `step` is at[row * row_step + step * this->step].
template <class Factor>
struct LeftOf {
    const Factor* at;
    int64_t row_step, step;

    ALWAYS_INLINE LeftOf from(int64_t row, int64_t first) const {
        return {at + row * row_step + first * step, row_step, step};
    }
};

// The columns at step `step` begin at at[step * this->step].
template <class Factor>
struct RightOf {
    const Factor* at;
    int64_t step;
};

// All steps.
struct Counted {
    int64_t count;

    template <class Function>
    ALWAYS_INLINE void for_each(Function function) const {
        for (int64_t step = 0; step < count; ++step) function(step);
    }
};

// Those whose bits are set.
struct Masked {
    uint64_t mask;

    template <class Function>
    ALWAYS_INLINE void for_each(Function function) const {
        for (uint64_t left = mask; left; left &= left - 1) function(__builtin_ctzll(left));
    }
};

INLINE Floats load_factors(const float* from) { return load(from); }
INLINE Floats broadcast_factor(float value) { return broadcast(value); }
INLINE Floats add_products(Floats sums, Floats left, Floats right) { return sums + left * right; }

// sums += left * right, for kRowCount rows and kVectors vectors of columns.
template <int kRowCount, int kVectors, class Factor, class Steps>
INLINE void add_block(
    const LeftOf<Factor>& left, const RightOf<Factor>& right, const Steps& steps, Floats (&sums)[kRowCount][kVectors]
) {
    steps.for_each([&](int64_t step) {
        decltype(load_factors(right.at)) factors[kVectors];
        for (int vector = 0; vector < kVectors; ++vector)
            factors[vector] = load_factors(right.at + step * right.step + vector * kLanes);
        for (int row = 0; row < kRowCount; ++row) {
            const auto value = broadcast_factor(left.at[row * left.row_step + step * left.step]);
            for (int vector = 0; vector < kVectors; ++vector)
                sums[row][vector] = add_products(sums[row][vector], value, factors[vector]);
        }
    });
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
