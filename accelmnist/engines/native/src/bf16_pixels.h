// Pixels as factors of products in bf16: a block of inputs of a chunk of images, made from their bytes just before use.
//
// A byte is exact in bf16: it has eight significant bits. What makes it 0 to 1 is multiplied into the sums. A mask says
// for some rows at once which pairs are not all black: the products of the others are zero.

#pragma once

#include "bf16_product.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

static_assert(kPixels % kBlockInputs % kLanes == 0, "whole vectors of pixels");

// Images of a step, one after the other, or those that are numbered.
struct Images {
    const uint8_t* first;
    const uint32_t* numbers;  // null: 0, 1, 2, ...

    ALWAYS_INLINE const uint8_t* operator[](int64_t index) const {
        return first + (numbers ? int64_t{numbers[index]} : index) * kPixels;
    }
};

INLINE Floats pixels_at(const uint8_t* from) {
#if defined(__AVX512F__)  // GCC 12 would convert one byte after the other
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return __builtin_convertvector((Ints)_mm512_maskz_cvtepu8_epi32(0xffff, bytes), Floats);
#elif defined(__AVX2__) && ACCELMNIST_VECTOR_BYTES == 32
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return __builtin_convertvector((Ints)_mm256_cvtepu8_epi32(bytes), Floats);
#else
    Floats pixels{};
    for (int lane = 0; lane < kLanes; ++lane) pixels[lane] = from[lane];
    return pixels;
#endif
}

// The bytes of a block that are not black in any of some images.
struct Ink {
    typedef uint8_t Half __attribute__((vector_size(kBlockInputs / 2)));
    Half halves[2] = {};

    ALWAYS_INLINE void add(const uint8_t* block, int pixels) {
        Half more[2] = {};
        if (pixels == kBlockInputs)
            std::memcpy(more, block, sizeof more);
        else
            std::memcpy(more, block, kPixels % kBlockInputs);
        for (int half = 0; half < 2; ++half) halves[half] |= more[half];
    }

    // A bit for every `Group` of bytes, the first in the lowest: whether it has any that is not black.
    template <class Group>
    ALWAYS_INLINE uint64_t bits() const {
        uint64_t mask = 0;
        for (size_t at = 0; at < kBlockInputs / sizeof(Group); ++at) {
            Group group;
            std::memcpy(&group, reinterpret_cast<const char*>(halves) + at * sizeof group, sizeof group);
            mask |= uint64_t{group != 0} << at;
        }
        return mask;
    }

    ALWAYS_INLINE uint64_t pairs() const {
#ifdef __AVX512BW__
        const __m512i low = (__m512i)halves[0], high = (__m512i)halves[1];
        return _mm512_test_epi16_mask(low, low) | uint64_t{_mm512_test_epi16_mask(high, high)} << 32;
#else
        return bits<uint16_t>();
#endif
    }

    // Of kRows pixels each.
    ALWAYS_INLINE uint32_t groups() const {
#ifdef __AVX512F__
        const __m512i low = (__m512i)halves[0], high = (__m512i)halves[1];
        return _mm512_test_epi32_mask(low, low) | uint32_t{_mm512_test_epi32_mask(high, high)} << 16;
#else
        return static_cast<uint32_t>(bits<uint32_t>());
#endif
    }
};
static_assert(kRows == sizeof(uint32_t), "a group of rows of weights is four bytes of an image");

// Writes `pixels` pixels of each of `count` images, from pixel `first` on, as rows (kChunk, kPairsAtOnce) of pairs of
// neighbours, and a mask for every kRows images.
static void write_by_image(
    const Images& images, int64_t count, int first, int pixels, Pair* rows, uint64_t* masks
) {
    for (int64_t start = 0; start < count; start += kRows) {
        Ink ink;
        for (int64_t image = start; image < start + kRows && image < count; ++image) {
            const uint8_t* block = images[image] + first;
            Pair* row = rows + image * kPairsAtOnce;
            ink.add(block, pixels);
            for (int at = 0; at < pixels; at += kLanes) store_row(row + at / 2, pixels_at(block + at));
        }
        masks[start / kRows] = ink.pairs();
    }
}

// Turns masks of a bit for each group of rows, one for each pair, into masks of a bit for each pair.
static void turn_masks(const uint32_t* by_pair, uint64_t* masks) {
    for (int group = 0; group < kBlockInputs / kRows; ++group) {
        uint64_t mask = 0;
#ifdef __AVX512F__
        const __m512i bit = _mm512_set1_epi32(1 << group);
        for (int pair = 0; pair < kPairsAtOnce; pair += 16)
            mask |= uint64_t{_mm512_test_epi32_mask(_mm512_load_si512(by_pair + pair), bit)} << pair;
#else
        for (int pair = 0; pair < kPairsAtOnce; ++pair) mask |= uint64_t{by_pair[pair] >> group & 1} << pair;
#endif
        masks[group] = mask;
    }
}

// Writes the same as rows (kPairsAtOnce, kPairStride) of the pixels of pairs of images, and a mask for every kRows
// pixels.
static void write_by_images(
    const Images& images, int64_t count, int first, int pixels, Pair* rows, uint64_t* masks
) {
    alignas(64) static constexpr uint8_t kBlack[kPixels] = {};
    alignas(64) uint32_t by_pair[kPairsAtOnce] = {};
    for (int64_t image = 0; image < count; image += 2) {
        const uint8_t* one = images[image] + first;
        const uint8_t* other = image + 1 < count ? images[image + 1] + first : kBlack;
        Pair* row = rows + image / 2 * kPairStride;
        Ink ink;
        ink.add(one, pixels);
        ink.add(other, pixels);
        by_pair[image / 2] = ink.groups();
        for (int at = 0; at < pixels; at += kLanes)
            store_pairs(row + at, exact_pairs(pixels_at(one + at), pixels_at(other + at)));
    }
    turn_masks(by_pair, masks);
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
