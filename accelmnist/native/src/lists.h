// Lists of the elements that are not zero.
//
// Eight elements at a time: a comparison gives eight bits, and a table by those bits says which elements to move to the
// front. Eight are written each time and the end moves by as many as count, so there is no branch on a value; the next
// write covers what was written too far. Without AVX2 the same is done element by element.

#pragma once

#include "turn.h"
#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

constexpr float kPixelScale = 1.0f / 255.0f;

#ifdef __AVX2__

struct PlaceTable {
    uint64_t of[256];
};

// The places of the bits that are set, a byte each, the lowest first.
constexpr PlaceTable place_table() {
    PlaceTable table{};
    for (int bits = 0; bits < 256; ++bits) {
        int count = 0;
        for (uint64_t place = 0; place < 8; ++place)
            if (bits >> place & 1) table.of[bits] |= place << (8 * count++);
    }
    return table;
}

static constexpr PlaceTable kPlaceTable = place_table();

INLINE void store_places(uint8_t* place, uint64_t places, int first) {
    const uint64_t numbers = places + 0x0101010101010101 * static_cast<uint64_t>(first);
    std::memcpy(place, &numbers, sizeof numbers);
}

// The scaled pixels among eight bytes that are not black, numbered from `first`; returns how many.
INLINE uint32_t append_eight(const uint8_t* bytes, int first, uint8_t* place, float* value) {
    const __m128i pixels = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const int black = _mm_movemask_epi8(_mm_cmpeq_epi8(pixels, _mm_setzero_si128()));
    const unsigned bits = ~static_cast<unsigned>(black) & 255;
    const uint64_t places = kPlaceTable.of[bits];
    const __m128i moved = _mm_shuffle_epi8(pixels, _mm_cvtsi64_si128(static_cast<int64_t>(places)));
    const __m256 whole = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(moved));
    _mm256_storeu_ps(value, _mm256_mul_ps(whole, _mm256_set1_ps(kPixelScale)));
    store_places(place, places, first);
    return static_cast<uint32_t>(__builtin_popcount(bits));
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

INLINE float number_of(uint8_t byte) { return static_cast<float>(byte) * kPixelScale; }
INLINE float number_of(float value) { return value; }

template <class Element>
INLINE uint32_t append_eight(const Element* elements, int first, uint8_t* place, float* value) {
    uint32_t count = 0;
    for (int at = 0; at < 8; ++at) {
        place[count] = static_cast<uint8_t>(first + at);
        value[count] = number_of(elements[at]);
        count += elements[at] != 0;
    }
    return count;
}

#endif

// Whether `kCount` bytes, a multiple of eight, are all zero.
template <int kCount>
INLINE bool are_black(const uint8_t* bytes) {
    uint64_t any = 0;
    for (int first = 0; first < kCount; first += 8) {
        uint64_t eight;
        std::memcpy(&eight, bytes + first, 8);
        any |= eight;
    }
    return any == 0;
}

// Row `row` of `lists`, which starts at `begin`, from `kCount` bytes; returns its end. Only a row that is black all
// over is passed over: to ask every eight bytes would cost more by branches guessed wrongly than it saves.
template <int kCount>
INLINE uint32_t list_pixels(const Lists& lists, int64_t row, uint32_t begin, const uint8_t* bytes) {
    uint8_t* places = lists.places + begin;
    float* values = lists.values + begin;
    uint32_t count = 0;
    if (!are_black<kCount>(bytes))
#pragma GCC unroll 16
        for (int first = 0; first < kCount; first += 8)
            count += append_eight(bytes + first, first, places + count, values + count);
    lists.begins[row] = begin;
    lists.counts[row] = count;
    return begin + count;
}

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

INLINE const uint8_t* pixels_of(const uint8_t* images, int64_t image) { return images + image * kPixels; }

// Asks for the pixels of images `from` to `until` of those at `order`: they lie anywhere, so the processor can't guess.
INLINE void ask_for_images(const uint8_t* images, const uint32_t* order, int64_t from, int64_t until) {
    asm volatile("");  // GCC leaves out calls of a function that only prefetches
    for (int64_t image = from; image < until; ++image)
        for (int at = 0; at < kPixels; at += 64) __builtin_prefetch(pixels_of(images, order[image]) + at, 0, 3);
}

// Images `from` to `until` of those at `order` (batch): their pixels to `fetched`, and the lists by image.
__attribute__((noinline)) static void fetch_images(
    const PixelBlock* blocks, const uint8_t* images, const uint32_t* order, int64_t from, int64_t until,
    uint8_t* fetched
) {
    uint32_t ends[kPixelBlocks];
    for (uint32_t& end : ends) end = static_cast<uint32_t>(from * kBlockPixels);
    for (int64_t image = from; image < until; ++image) {
        const uint8_t* pixels = pixels_of(images, order[image]);
        std::memcpy(fetched + image * kPixels, pixels, kPixels);
        for (int number = 0; number < kPixelBlocks; ++number)
            ends[number] = list_pixels<kBlockPixels>(
                blocks[number].by_image, image, ends[number], pixels + number * kBlockPixels
            );
    }
}

// The lists of eight pixels of a block, from `pixel` on, for all of the batch, whose pixels are `images`.
__attribute__((noinline)) static void turn_pixels(
    const PixelBlock& block, const uint8_t* images, int number, int pixel, int64_t batch
) {
    for (int64_t start = 0; start < batch; start += kChunk) {
        uint8_t turned[8][kChunk];
        const uint8_t* column = pixels_of(images, start) + number * kBlockPixels + pixel;
        const int64_t left = batch - start;
        for (int eight = 0; eight < kChunk; eight += 8)
            if (eight + 8 <= left)
                turn_bytes(column + eight * kPixels, kPixels, turned[0] + eight, kChunk);
            else  // the batch's end: what lies behind it is black
                for (int at = 0; at < 64; ++at) {
                    const int image = eight + at % 8;
                    turned[at / 8][image] = image < left ? column[image * kPixels + at / 8] : 0;
                }
        const int64_t row = start / kChunk * kBlockPixels + pixel;
        auto end = static_cast<uint32_t>(row * kChunk);
        for (int at = 0; at < 8; ++at) end = list_pixels<kChunk>(block.by_pixel, row + at, end, turned[at]);
    }
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
