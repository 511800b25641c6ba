// Lists of the activations that are not zero; the lists of pixels are in pixel_lists.h.
//
// Eight values at a time: a comparison returns eight bits, and a table indexed by them holds which values move to the
// front. All eight are written and the end advances by the number that count, so there is no branch on a value; the
// next write covers the surplus. Without AVX2 the same is done value by value.

#pragma once

#include "compaction.h"
#include "transpose.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

#ifdef __AVX2__

INLINE void store_indices(uint8_t* to, uint64_t indices, int first) {
    const uint64_t numbers = indices + 0x0101010101010101 * static_cast<uint64_t>(first);
    std::memcpy(to, &numbers, sizeof numbers);
}

// Appends those of eight values that are not zero, NaN among them; returns how many.
INLINE uint32_t append_eight(const float* values, int first, uint8_t* index, float* value) {
    const __m256 eight = _mm256_loadu_ps(values);
    const auto bits = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(eight, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
    const uint64_t indices = kCompactionTable.of[bits];
    const __m256i moves = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(indices)));
    _mm256_storeu_ps(value, _mm256_permutevar8x32_ps(eight, moves));
    store_indices(index, indices, first);
    return static_cast<uint32_t>(__builtin_popcount(bits));
}

#else

INLINE uint32_t append_eight(const float* values, int first, uint8_t* index, float* value) {
    uint32_t count = 0;
    for (int at = 0; at < 8; ++at) {
        index[count] = static_cast<uint8_t>(first + at);
        value[count] = values[at];
        count += values[at] != 0;
    }
    return count;
}

#endif

// Lists row `row` from `count` values, which zeros fill up to a multiple of eight. Returns the end.
INLINE uint32_t list_values(const Lists& lists, int64_t row, uint32_t begin, const float* from, int count) {
    uint8_t* indices = lists.indices + begin;
    float* values = lists.values + begin;
    uint32_t listed = 0;
    for (int first = 0; first < count; first += 8)
        listed += append_eight(from + first, first, indices + listed, values + listed);
    lists.begins[row] = begin;
    lists.counts[row] = listed;
    return begin + listed;
}

// Returns how many of a panel's activations are not zero.
static int64_t count_values(const Panel& panel, int64_t batch) {
    Ints zeros{};  // minus the number in each lane
    for (int64_t at = 0; at < batch * panel.width; at += kLanes) zeros += load(panel.values + at) == 0.0f;
    int64_t count = batch * panel.width;
    for (int lane = 0; lane < kLanes; ++lane) count += zeros[lane];
    return count;
}

// Lists a panel's activations, the next layer's inputs, by image.
static void list_panel(const Panel& panel, int64_t batch) {
    uint32_t end = 0;
    for (int64_t image = 0; image < batch; ++image)
        end = list_values(panel.by_image, image, end, panel.values + image * panel.width, panel.units);
}

// Lists a panel's activations by unit; `transposed` (kPanelFloats, kChunk) is scratch.
static void transpose_and_list_panel(const Panel& panel, int64_t batch, float* transposed) {
    for (int64_t start = 0; start < batch; start += kChunk) {
        const float* rows = panel.values + start * panel.width;
        const auto count = static_cast<int>(batch - start < kChunk ? batch - start : kChunk);
        const int whole = count / 8 * 8;
        for (int unit = 0; unit < panel.width; unit += 8)
            for (int image = 0; image < whole; image += 8)
                transpose_8x8(
                    rows + image * panel.width + unit, panel.width, transposed + unit * kChunk + image, kChunk
                );
        const int64_t row = start / kChunk * panel.width;
        auto end = static_cast<uint32_t>(row * kChunk);
        for (int unit = 0; unit < panel.units; ++unit) {
            float* values = transposed + unit * kChunk;
            for (int image = whole; image < (count + 7) / 8 * 8; ++image)
                values[image] = image < count ? rows[image * panel.width + unit] : 0;
            end = list_values(panel.by_unit, row + unit, end, values, count);
        }
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
