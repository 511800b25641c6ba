// The products of a layer in float32 that take all of its inputs, zeros too.

#pragma once

#include "dense_product.h"
#include "member.h"
#include "update.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct DenseProducts : Member {
    using Member::Member;

    static const float* rows_from(const Panel& panel, int input) { return panel.weight + int64_t{input} * panel.width; }

    template <int kCount>
    static void store_all(float* to, const Floats (&sums)[kCount]) {
        for (int vector = 0; vector < kCount; ++vector) store(to + vector * kLanes, sums[vector]);
    }

    // values = start + inputs * weights, for `images` rows of `count` inputs.
    static void multiply_into(
        float* values, const LeftOf<float>& inputs, const float* weights, int64_t count, int64_t images,
        const Panel& panel, const Start& start
    ) {
        multiply_rows(
            inputs, {weights, panel.width}, count, images, panel.vectors, start,
            [&](int64_t row, int vector, const auto& sums) {
                store_all(values + row * panel.width + vector * kLanes, sums);
            }
        );
    }

    // Adds a chunk's part of the gradient of the weights of `count` inputs from `first` on, which are the rows of
    // `inputs`; the last chunk's part updates them.
    void multiply_and_update_rows(
        const Panel& panel, int64_t chunk, int first, int count, const LeftOf<float>& inputs, const UpdateParams& params
    ) const {
        const bool is_last = chunk + 1 == space.chunks;
        const ParamRef weights{panel.weight, panel.slots};
        multiply_rows(
            inputs, {panel.deltas + chunk * kChunk * panel.width, panel.width}, images_in(chunk), count, panel.vectors,
            chunk == 0 ? Start{space.zeros, 0} : Start{panel.gradient, panel.width},
            [&](int64_t row, int vector, const auto& sums) {
                constexpr int kCount = sizeof sums / sizeof sums[0];
                const int64_t at = row * panel.width + vector * kLanes;
                if (!is_last) return store_all(panel.gradient + at, sums);
                update_vectors<kCount>(params, weights, int64_t{first} * panel.width + at, sums);
            }
        );
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
