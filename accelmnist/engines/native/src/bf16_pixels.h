// Pixels as factors of products in bf16, made from their bytes.
//
// A byte is exact in bf16: it has eight significant bits. What makes it 0 to 1 is multiplied into the sums. A step's
// images lie at random, each on a page of its own: they are gathered once, and read again for the gradients from where
// they then lie side by side. A mask says for some rows of a product which pairs are not all black: the products of the
// others are zero.

#pragma once

#include "bf16_product.h"
#include "images.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

constexpr int kTailPixels = kPixels % kBlockInputs;  // of the last block
static_assert(kTailPixels % kLanes == 0 && kPixels % 16 == 0, "whole vectors of pixels");

// The bytes of a block that are not black in any of some images.
struct Ink {
    typedef uint8_t Half __attribute__((vector_size(kBlockInputs / 2)));
    Half halves[2] = {};

    ALWAYS_INLINE void add(const uint8_t* block) {
        Half more[2];
        std::memcpy(more, __builtin_assume_aligned(block, kLine), sizeof more);
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
        uint32_t fours = 0;
#ifdef __AVX512F__
        const __m512i low = (__m512i)halves[0], high = (__m512i)halves[1];
        fours = _mm512_test_epi32_mask(low, low) | uint32_t{_mm512_test_epi32_mask(high, high)} << 16;
#else
        fours = static_cast<uint32_t>(bits<uint32_t>());
#endif
        if (kRows == 4) return fours;
        uint32_t sixteens = 0;
        for (int group = 0; group < kBlockInputs / 16; ++group)
            sixteens |= uint32_t{(fours >> 4 * group & 15) != 0} << group;
        return sixteens;
    }
};
static_assert(kRows == 4 || kRows == 16, "what groups() knows");

// Copies `count` images to rows of bytes (kByteStride), and writes them as rows (kPixelStride) of pairs of neighbours,
// with a mask for every kRows images and block: (kPixelBlocks of kBlockInputs, kChunk / kRows).
static void gather(const Images& images, int64_t count, uint8_t* bytes, Pair* rows, uint64_t* masks) {
    for (int64_t start = 0; start < count; start += kRows) {
        const int64_t end = start + kRows < count ? start + kRows : count;
        for (int64_t image = start; image < end; ++image) {
            uint8_t* copy = bytes + image * kByteStride;
            std::memcpy(copy, images[image], kPixels);
            Pair* row = rows + image * kPixelStride;
#pragma GCC unroll 8
            for (size_t at = 0; at < kPixels; at += kLanes) store_row(row + at / 2, pixels_at(copy + at));
        }
        for (int block = 0; block < kInputBlocks; ++block) {
            Ink ink;
            for (int64_t image = start; image < end; ++image)
                ink.add(bytes + image * kByteStride + block * kBlockInputs);
            masks[block * (kChunk / kRows) + start / kRows] = ink.pairs();
        }
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

// Writes a block of `count` images as rows (kPairsAtOnce, kPairStride) of the pixels of pairs of images, and a mask for
// every kRows pixels. `bytes` are those of the first image's block.
template <int kBlockPixels>
static void write_by_images(const uint8_t* bytes, int64_t count, Pair* rows, uint64_t* masks) {
    alignas(64) static constexpr uint8_t kBlack[kBlockInputs] = {};
    alignas(64) uint32_t by_pair[kPairsAtOnce] = {};
    for (int64_t image = 0; image < count; image += 2) {
        const uint8_t* one = bytes + image * kByteStride;
        const uint8_t* other = image + 1 < count ? one + kByteStride : kBlack;
        Pair* row = rows + image / 2 * kPairStride;
        Ink ink;
        ink.add(one);
        ink.add(other);
        by_pair[image / 2] = ink.groups();
        for (int at = 0; at < kBlockPixels; at += kLanes)
            store_pairs(row + at, exact_pairs(pixels_at(one + at), pixels_at(other + at)));
    }
    turn_masks(by_pair, masks);
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
