// The hot loops, over the elements of a row that are not zero.
//
//   add_rows    out[r] = start or out[r] + the sum over r's elements of value * tile[index]. In the forward pass the
//               tile is weights and r an image; for a part of the weights' gradient the tile is gradients of images
//               and r an input
//   accumulate_and_update_rows
//               the same for the last part of a gradient, which updates the row of weights without being stored
//   dot_rows    nonzero_grads[e] += deltas[r] . tile[index of e]: the gradient at those of a layer's inputs that are
//               not zero
//
// A row of sums stays in registers; a tile's rows come from the first-level cache.

#pragma once

#include "update.h"
#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct PixelScales {
    float of[256];
};

constexpr PixelScales pixel_scales() {
    PixelScales scales{};
    for (int pixel = 0; pixel < 256; ++pixel) scales.of[pixel] = static_cast<float>(pixel) * kPixelScale;
    return scales;
}

static constexpr PixelScales kPixelScales = pixel_scales();

// A row of a list: `count` elements, each with its index, which is a row of the tile, and its value.
struct ValueRow {
    const uint8_t* indices;
    const float* values;
    uint32_t count;

    ALWAYS_INLINE int index(uint32_t at) const { return indices[at]; }
    ALWAYS_INLINE Floats value(uint32_t at) const { return broadcast(values[at]); }
};

struct PixelRow {
    const Element* elements;
    uint32_t count;

    ALWAYS_INLINE int index(uint32_t at) const { return elements[at] >> 8; }
    ALWAYS_INLINE Floats value(uint32_t at) const { return broadcast(kPixelScales.of[elements[at] & 255]); }
};

INLINE uint32_t count_of(const Lists& lists, int64_t row) { return lists.counts[row]; }
INLINE uint32_t count_of(const ImageRows& lists, int64_t row) { return lists.counts[row]; }
INLINE uint32_t count_of(const PixelRows& lists, int64_t row) {
    return lists.ends[row] - static_cast<uint32_t>(row * kRowStride);
}

INLINE ValueRow row_of(const Lists& lists, int64_t row) {
    return {lists.indices + lists.begins[row], lists.values + lists.begins[row], lists.counts[row]};
}
INLINE PixelRow row_of(const ImageRows& lists, int64_t row) { return {lists.rows[row], lists.counts[row]}; }
INLINE PixelRow row_of(const PixelRows& lists, int64_t row) {
    return {lists.elements + row * kRowStride, count_of(lists, row)};
}

// The lists by input of one chunk of images, with `rows` rows a chunk.
INLINE Lists of_chunk(const Lists& lists, int64_t chunk, int64_t rows) {
    return {lists.begins + chunk * rows, lists.counts + chunk * rows, lists.indices, lists.values};
}

// sums += the row's elements times the tile. A few vectors are too few sums to keep the adders busy, so every other
// element then has sums of its own.
template <int kVectors, class Row>
INLINE void add_row(const float* tile, const Row& row, Floats* sums) {
    constexpr int kWidth = kVectors * kLanes;
    uint32_t at = 0;
    if (kVectors <= 4) {
        Floats others[kVectors] = {};
        for (; at + 2 <= row.count; at += 2) {
            const Floats value = row.value(at), other = row.value(at + 1);
            const float *source = tile + row.index(at) * kWidth, *next = tile + row.index(at + 1) * kWidth;
            for (int vector = 0; vector < kVectors; ++vector) {
                sums[vector] += value * load(source + vector * kLanes);
                others[vector] += other * load(next + vector * kLanes);
            }
        }
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] += others[vector];
    }
    for (; at < row.count; ++at) {
        const Floats value = row.value(at);
        const float* source = tile + row.index(at) * kWidth;
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] += value * load(source + vector * kLanes);
    }
}

constexpr int kImagesAhead = 4;
static_assert(kImagesAhead <= kRowsPadding, "the prefetch reads rows ahead");

// Prefetches the elements of a row some images ahead, which lie at random in the second-level cache.
INLINE void prefetch_row(const ImageRows& lists, int64_t row) { __builtin_prefetch(lists.rows[row + kImagesAhead]); }
INLINE void prefetch_row(const PixelRows&, int64_t) {}
INLINE void prefetch_row(const Lists&, int64_t) {}

template <int kVectors, class Rows>
static void add_rows_of(const float* tile, const Rows& lists, int64_t count, const float* start, float* out) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        float* target = out + row * kWidth;
        prefetch_row(lists, row);
        if (!start && count_of(lists, row) == 0) continue;
        const float* from = start ? start : target;
        Floats sums[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] = load(from + vector * kLanes);
        add_row<kVectors>(tile, row_of(lists, row), sums);
        for (int vector = 0; vector < kVectors; ++vector) store(target + vector * kLanes, sums[vector]);
    }
}

constexpr int kRowsAhead = 2;

// Prefetches a row of weights and their state: under a rule with state, a panel is larger than the second-level cache
// and is touched once a step.
template <int kVectors>
INLINE void prefetch_weights(const UpdateParams& params, const ParamRef& weights, int64_t at) {
    if (params.rule == Rule::sgd) return;
    for (int vector = 0; vector < kVectors; vector += 64 / (4 * kLanes)) {
        __builtin_prefetch(weights.weight + at + vector * kLanes, 1);
        __builtin_prefetch(weights.slots[0] + at + vector * kLanes, 1);
        if (params.rule != Rule::momentum) __builtin_prefetch(weights.slots[1] + at + vector * kLanes, 1);
    }
}

template <int kVectors, class Rows>
static void accumulate_and_update_rows_of(
    const float* tile, const Rows& lists, int64_t count, const float* partial, const UpdateParams& params,
    const ParamRef& weights
) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        prefetch_weights<kVectors>(params, weights, (row + kRowsAhead) * kWidth);
        if (!partial && params.keeps_untouched && count_of(lists, row) == 0) continue;
        Floats sums[kVectors] = {};
        if (partial)
            for (int vector = 0; vector < kVectors; ++vector)
                sums[vector] = load(partial + row * kWidth + vector * kLanes);
        add_row<kVectors>(tile, row_of(lists, row), sums);
        update_vectors<kVectors>(params, weights, row * kWidth, sums);
    }
}

// sums[0..3] += the lane sums of four vectors.
INLINE void add_lanes_of_four(const Floats* four, float* sums) {
#ifdef __AVX2__
    __m256 halved[4];
    for (int at = 0; at < 4; ++at) {
        float lanes[kLanes];
        std::memcpy(lanes, &four[at], sizeof lanes);
        halved[at] = _mm256_loadu_ps(lanes);
        if (kLanes == 16) halved[at] = _mm256_add_ps(halved[at], _mm256_loadu_ps(lanes + kLanes - 8));
    }
    const __m256 first = _mm256_hadd_ps(halved[0], halved[1]), second = _mm256_hadd_ps(halved[2], halved[3]);
    const __m256 both = _mm256_hadd_ps(first, second);
    const __m128 sum = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    _mm_storeu_ps(sums, _mm_add_ps(_mm_loadu_ps(sums), sum));
#else
    for (int at = 0; at < 4; ++at) sums[at] += sum_of(four[at]);
#endif
}

template <int kVectors>
static void dot_rows_of(
    const float* tile, const float* deltas, const Lists& lists, int64_t count, float* nonzero_grads
) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        const uint8_t* indices = lists.indices + lists.begins[row];
        float* out = nonzero_grads + lists.begins[row];
        Floats delta[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) delta[vector] = load(deltas + row * kWidth + vector * kLanes);
        const auto dot = [&](int index) __attribute__((always_inline)) {
            const float* source = tile + index * kWidth;
            Floats sum = delta[0] * load(source);
            for (int vector = 1; vector < kVectors; ++vector) sum += delta[vector] * load(source + vector * kLanes);
            return sum;
        };
        uint32_t at = 0;
        for (; at + 4 <= lists.counts[row]; at += 4) {
            const Floats four[4] = {dot(indices[at]), dot(indices[at + 1]), dot(indices[at + 2]), dot(indices[at + 3])};
            add_lanes_of_four(four, out + at);
        }
        for (; at < lists.counts[row]; ++at) out[at] += sum_of(dot(indices[at]));
    }
}

// Calls the instance for `vectors` vectors a row.
#define FOR_VECTORS(vectors, call)        \
    switch (vectors) {                    \
        case 1: call(1); break;           \
        case 2: call(2); break;           \
        case 3: call(3); break;           \
        case 4: call(4); break;           \
        case 5: call(5); break;           \
        case 6: call(6); break;           \
        case 7: call(7); break;           \
        case 8: call(8); break;           \
        default: __builtin_unreachable(); \
    }

template <class Rows>
static void add_rows(
    int vectors, const float* tile, const Rows& lists, int64_t count, const float* start, float* out
) {
#define CALL(number) add_rows_of<number>(tile, lists, count, start, out)
    FOR_VECTORS(vectors, CALL)
#undef CALL
}

template <class Rows>
static void accumulate_and_update_rows(
    int vectors, const float* tile, const Rows& lists, int64_t count, const float* partial, const UpdateParams& params,
    const ParamRef& weights
) {
#define CALL(number) accumulate_and_update_rows_of<number>(tile, lists, count, partial, params, weights)
    FOR_VECTORS(vectors, CALL)
#undef CALL
}

static void dot_rows(
    int vectors, const float* tile, const float* deltas, const Lists& lists, int64_t count, float* nonzero_grads
) {
#define CALL(number) dot_rows_of<number>(tile, deltas, lists, count, nonzero_grads)
    FOR_VECTORS(vectors, CALL)
#undef CALL
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
