// The loops that nearly all time goes into, over the elements of a row that are not zero.
//
//   add_rows      out[r] = start or out[r] + sum over r's elements of value * tile[place]: the forward pass, where
//                 the tile is weights and r an image, and a part of the gradient of the weights, where the tile is
//                 gradients of images and r an input
//   descend_rows  the same for the last part of a gradient, which then updates the row of weights without being stored
//   dot_rows      back[e] += deltas[r] . tile[place of e]: the gradient at a layer's inputs where they are not zero
//
// A row of sums stays in registers; a tile's rows come from the first-level cache.

#pragma once

#include "update.h"
#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

constexpr float kPixelScale = 1.0f / 255.0f;

struct PixelScales {
    float of[256];
};

constexpr PixelScales pixel_scales() {
    PixelScales scales{};
    for (int pixel = 0; pixel < 256; ++pixel) scales.of[pixel] = static_cast<float>(pixel) * kPixelScale;
    return scales;
}

static constexpr PixelScales kPixelScales = pixel_scales();

// A row of a list: `count` elements, each with its place, which is a row of the tile, and its value.
struct ValueRow {
    const uint8_t* places;
    const float* values;
    uint32_t count;

    ALWAYS_INLINE int place(uint32_t at) const { return places[at]; }
    ALWAYS_INLINE Floats value(uint32_t at) const { return spread(values[at]); }
};

struct PixelRow {
    const Element* elements;
    uint32_t count;

    ALWAYS_INLINE int place(uint32_t at) const { return elements[at] >> 8; }
    ALWAYS_INLINE Floats value(uint32_t at) const { return spread(kPixelScales.of[elements[at] & 255]); }
};

INLINE uint32_t count_of(const Lists& lists, int64_t row) { return lists.counts[row]; }
INLINE uint32_t count_of(const ImageRows& lists, int64_t row) { return lists.counts[row]; }
INLINE uint32_t count_of(const PixelRows& lists, int64_t row) {
    return lists.ends[row] - static_cast<uint32_t>(row * kRowStride);
}

INLINE ValueRow row_of(const Lists& lists, int64_t row) {
    return {lists.places + lists.begins[row], lists.values + lists.begins[row], lists.counts[row]};
}
INLINE PixelRow row_of(const ImageRows& lists, int64_t row) { return {lists.rows[row], lists.counts[row]}; }
INLINE PixelRow row_of(const PixelRows& lists, int64_t row) {
    return {lists.elements + row * kRowStride, count_of(lists, row)};
}

// The lists by input of a chunk of images; `rows` are those of a chunk.
INLINE Lists of_chunk(const Lists& lists, int64_t chunk, int64_t rows) {
    return {lists.begins + chunk * rows, lists.counts + chunk * rows, lists.places, lists.values};
}
// sums += the row's elements times the tile. Few vectors are too few sums to keep the adders busy: then every other
// element goes to sums of its own.
template <int kVectors, class Row>
INLINE void add_row(const float* tile, const Row& row, Floats* sums) {
    constexpr int kWidth = kVectors * kLanes;
    uint32_t at = 0;
    if (kVectors <= 4) {
        Floats others[kVectors] = {};
        for (; at + 2 <= row.count; at += 2) {
            const Floats value = row.value(at), other = row.value(at + 1);
            const float *source = tile + row.place(at) * kWidth, *next = tile + row.place(at + 1) * kWidth;
            for (int vector = 0; vector < kVectors; ++vector) {
                sums[vector] += value * load(source + vector * kLanes);
                others[vector] += other * load(next + vector * kLanes);
            }
        }
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] += others[vector];
    }
    for (; at < row.count; ++at) {
        const Floats value = row.value(at);
        const float* source = tile + row.place(at) * kWidth;
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] += value * load(source + vector * kLanes);
    }
}

constexpr int kImagesAhead = 4;
static_assert(kImagesAhead <= kRowsRoom, "rows are looked at ahead");

// Asks for the elements of a row some images ahead, which lie anywhere in the second-level cache.
INLINE void ask_for_row(const ImageRows& lists, int64_t row) { __builtin_prefetch(lists.rows[row + kImagesAhead]); }
INLINE void ask_for_row(const PixelRows&, int64_t) {}
INLINE void ask_for_row(const Lists&, int64_t) {}

template <int kVectors, class Rows>
static void add_rows_of(const float* tile, const Rows& lists, int64_t count, const float* start, float* out) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        float* place = out + row * kWidth;
        ask_for_row(lists, row);
        if (!start && count_of(lists, row) == 0) continue;
        const float* from = start ? start : place;
        Floats sums[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) sums[vector] = load(from + vector * kLanes);
        add_row<kVectors>(tile, row_of(lists, row), sums);
        for (int vector = 0; vector < kVectors; ++vector) store(place + vector * kLanes, sums[vector]);
    }
}

constexpr int kRowsAhead = 2;

// Asks for a row of weights and of their state: with a rule that has state, a panel is more than the second-level cache
// holds, and it is touched once a step.
template <int kVectors>
INLINE void ask_for_weights(const Pace& pace, const Place& weights, int64_t at) {
    if (pace.rule == Rule::sgd) return;
    for (int vector = 0; vector < kVectors; vector += 64 / (4 * kLanes)) {
        __builtin_prefetch(weights.weight + at + vector * kLanes, 1);
        __builtin_prefetch(weights.slots[0] + at + vector * kLanes, 1);
        if (pace.rule != Rule::momentum) __builtin_prefetch(weights.slots[1] + at + vector * kLanes, 1);
    }
}

template <int kVectors, class Rows>
static void descend_rows_of(
    const float* tile, const Rows& lists, int64_t count, const float* begun, const Pace& pace,
    const Place& weights
) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        ask_for_weights<kVectors>(pace, weights, (row + kRowsAhead) * kWidth);
        if (!begun && pace.keeps_untouched && count_of(lists, row) == 0) continue;
        Floats sums[kVectors] = {};
        if (begun)
            for (int vector = 0; vector < kVectors; ++vector) sums[vector] = load(begun + row * kWidth + vector * kLanes);
        add_row<kVectors>(tile, row_of(lists, row), sums);
        update_vectors<kVectors>(pace, weights, row * kWidth, sums);
    }
}

// sums[0..3] += the sums of the lanes of four vectors.
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
static void dot_rows_of(const float* tile, const float* deltas, const Lists& lists, int64_t count, float* back) {
    constexpr int kWidth = kVectors * kLanes;
    for (int64_t row = 0; row < count; ++row) {
        const uint8_t* places = lists.places + lists.begins[row];
        float* out = back + lists.begins[row];
        Floats delta[kVectors];
        for (int vector = 0; vector < kVectors; ++vector) delta[vector] = load(deltas + row * kWidth + vector * kLanes);
        const auto dot = [&](int place) {
            const float* source = tile + place * kWidth;
            Floats sum = delta[0] * load(source);
            for (int vector = 1; vector < kVectors; ++vector) sum += delta[vector] * load(source + vector * kLanes);
            return sum;
        };
        uint32_t at = 0;
        for (; at + 4 <= lists.counts[row]; at += 4) {
            const Floats four[4] = {dot(places[at]), dot(places[at + 1]), dot(places[at + 2]), dot(places[at + 3])};
            add_lanes_of_four(four, out + at);
        }
        for (; at < lists.counts[row]; ++at) out[at] += sum_of(dot(places[at]));
    }
}

// Calls what stands for `vectors` vectors a row.
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
static void descend_rows(
    int vectors, const float* tile, const Rows& lists, int64_t count, const float* begun, const Pace& pace,
    const Place& weights
) {
#define CALL(number) descend_rows_of<number>(tile, lists, count, begun, pace, weights)
    FOR_VECTORS(vectors, CALL)
#undef CALL
}

static void dot_rows(
    int vectors, const float* tile, const float* deltas, const Lists& lists, int64_t count, float* back
) {
#define CALL(number) dot_rows_of<number>(tile, deltas, lists, count, back)
    FOR_VECTORS(vectors, CALL)
#undef CALL
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
