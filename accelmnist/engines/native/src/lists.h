// Lists of the activations that are not zero; those of pixels are in pixel_lists.h.
//
// Eight values at a time: a comparison gives eight bits, and a table by those bits says which values to move to the
// front. Eight are written each time and the end moves by as many as count, so there is no branch on a value; the next
// write covers what was written too far. Without AVX2 the same is done value by value.

#pragma once

#include "places.h"
#include "turn.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

#ifdef __AVX2__

INLINE void store_places(uint8_t* place, uint64_t places, int first) {
    const uint64_t numbers = places + 0x0101010101010101 * static_cast<uint64_t>(first);
    std::memcpy(place, &numbers, sizeof numbers);
}

// The values among eight that are not zero, a NaN among them.
INLINE uint32_t append_eight(const float* values, int first, uint8_t* place, float* value) {
    const __m256 eight = _mm256_loadu_ps(values);
    const auto bits = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(eight, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
    const uint64_t places = kPlaceTable.of[bits];
    const __m256i moves = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(places)));
    _mm256_storeu_ps(value, _mm256_permutevar8x32_ps(eight, moves));
    store_places(place, places, first);
    return static_cast<uint32_t>(__builtin_popcount(bits));
}

#else

INLINE uint32_t append_eight(const float* values, int first, uint8_t* place, float* value) {
    uint32_t count = 0;
    for (int at = 0; at < 8; ++at) {
        place[count] = static_cast<uint8_t>(first + at);
        value[count] = values[at];
        count += values[at] != 0;
    }
    return count;
}

#endif

// Row `row` from `count` values, behind which zeros fill up eight; where zeros count too, all of them.
INLINE uint32_t list_values(
    const Lists& lists, int64_t row, uint32_t begin, const float* from, int count, bool zeros_too
) {
    uint8_t* places = lists.places + begin;
    float* values = lists.values + begin;
    uint32_t found = 0;
    if (zeros_too)
        for (; found < static_cast<uint32_t>(count); ++found) {
            places[found] = static_cast<uint8_t>(found);
            values[found] = from[found];
        }
    else
        for (int first = 0; first < count; first += 8)
            found += append_eight(from + first, first, places + found, values + found);
    lists.begins[row] = begin;
    lists.counts[row] = found;
    return begin + found;
}

// The lists by image of a panel's activations, which are the next layer's inputs.
static void list_panel(const Panel& panel, int64_t batch, bool zeros_too) {
    uint32_t end = 0;
    for (int64_t image = 0; image < batch; ++image)
        end = list_values(
            panel.by_image, image, end, panel.values + image * panel.width, panel.units, zeros_too
        );
}

// The lists by unit of a panel's activations; `turned` (kPanelFloats, kChunk) is scratch.
static void turn_panel(const Panel& panel, int64_t batch, bool zeros_too, float* turned) {
    for (int64_t start = 0; start < batch; start += kChunk) {
        const float* rows = panel.values + start * panel.width;
        const auto count = static_cast<int>(batch - start < kChunk ? batch - start : kChunk);
        const int whole = count / 8 * 8;
        for (int unit = 0; unit < panel.width; unit += 8)
            for (int image = 0; image < whole; image += 8)
                turn_numbers(rows + image * panel.width + unit, panel.width, turned + unit * kChunk + image, kChunk);
        const int64_t row = start / kChunk * panel.width;
        auto end = static_cast<uint32_t>(row * kChunk);
        for (int unit = 0; unit < panel.units; ++unit) {
            float* values = turned + unit * kChunk;
            for (int image = whole; image < (count + 7) / 8 * 8; ++image)
                values[image] = image < count ? rows[image * panel.width + unit] : 0;
            end = list_values(panel.by_unit, row + unit, end, values, count, zeros_too);
        }
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
