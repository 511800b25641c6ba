// Lists of the pixels that are not black: the records of a set of images, and a step's lists by image and by pixel.
//
// A record is made from eight pixels at a time, as lists.h makes its lists. A step's lists by image point into its
// images' records. Its lists by pixel are made from those, block by block, just before they are used: every element is
// appended to the row of its pixel.

#pragma once

#include "compaction.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Appends the elements of those of eight pixels that are not black, numbered from `first`; returns how many.
INLINE uint32_t append_pixels(const uint8_t* bytes, int first, Element* elements) {
#ifdef __AVX2__
    const __m128i pixels = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const int black = _mm_movemask_epi8(_mm_cmpeq_epi8(pixels, _mm_setzero_si128()));
    const unsigned bits = ~static_cast<unsigned>(black) & 255;
    const __m128i moves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(&kCompactionTable.of[bits]));
    const __m128i indices = _mm_add_epi8(moves, _mm_set1_epi8(static_cast<char>(first)));
    const __m128i both = _mm_unpacklo_epi8(_mm_shuffle_epi8(pixels, moves), indices);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(elements), both);
    return static_cast<uint32_t>(__builtin_popcount(bits));
#else
    uint32_t count = 0;
    for (int at = 0; at < 8; ++at) {
        elements[count] = static_cast<Element>((first + at) << 8 | bytes[at]);
        count += bytes[at] != 0;
    }
    return count;
#endif
}

INLINE bool are_black(const uint8_t* bytes) {
    uint64_t any = 0;
    for (int first = 0; first < kBlockPixels; first += 8) {
        uint64_t eight;
        std::memcpy(&eight, bytes + first, 8);
        any |= eight;
    }
    return any == 0;
}

// Writes an image's record; returns the end of its elements. Only a block that is all black is skipped: a test of every
// eight pixels costs more in mispredicted branches than it saves.
INLINE Element* write_record(const uint8_t* pixels, Element* record) {
    uint8_t counts[kHeader * sizeof(Element)] = {};
    Element* end = record + kHeader;
    for (int number = 0; number < kPixelBlocks; ++number) {
        const uint8_t* bytes = pixels + number * kBlockPixels;
        uint32_t count = 0;
        if (!are_black(bytes))
#pragma GCC unroll 16
            for (int first = 0; first < kBlockPixels; first += 8)
                count += append_pixels(bytes + first, first, end + count);
        counts[number] = static_cast<uint8_t>(count);
        end += count;
    }
    std::memcpy(record, counts, sizeof counts);
    return end;
}

// Writes the records of images `from` to `until` of a set, whose pixels are `images` (until - from, 784). They begin
// where the records of the images before them end at most, so that threads can write parts of a set side by side.
static void write_records(const uint8_t* images, int64_t from, int64_t until, const PixelSet& set) {
    auto line = static_cast<uint32_t>(from * kRecordLines);
    for (int64_t image = from; image < until; ++image) {
        Element* record = set.records + int64_t{line} * kLineElements;
        const Element* end = write_record(images + (image - from) * kPixels, record);
        set.starts[image] = line;
        // The slack, too, lies before the next record, so that a write never reaches a finished record.
        line += static_cast<uint32_t>((end - record + kSlack + kLineElements - 1) / kLineElements);
    }
}

INLINE const Element* record_at(const PixelSet& set, uint32_t start) {
    return set.records + int64_t{start} * kLineElements;
}

// Prefetches `count` records: they lie at random, so the processor can't guess them. It fetches as many lines as most
// records have; the exact number of each would take a mispredicted branch.
INLINE void prefetch_records(const PixelSet& set, const uint32_t* starts, int64_t count) {
    constexpr int kLines = 6;
    asm volatile("");  // GCC drops calls of a function that only prefetches
    for (int64_t image = 0; image < count; ++image) {
        const Element* record = record_at(set, starts[image]);
        for (int line = 0; line < kLines; ++line) __builtin_prefetch(record + line * kLineElements, 0, 3);
    }
}

// Points the lists by image (kPixelBlocks) at the records of `count` images.
static void find_rows(const ImageRows* blocks, const PixelSet& set, const uint32_t* starts, int64_t count) {
    for (int64_t image = 0; image < count; ++image) {
        const Element* record = record_at(set, starts[image]);
        const Element* row = record + kHeader;
        for (int number = 0; number < kPixelBlocks; ++number) {
            const uint8_t elements = reinterpret_cast<const uint8_t*>(record)[number];
            blocks[number].rows[image] = row;
            blocks[number].counts[image] = elements;
            row += elements;
        }
    }
}

INLINE void append(const PixelRows& by_pixel, unsigned element, unsigned image_bits) {
    const unsigned end = by_pixel.ends[element >> 8];
    by_pixel.ends[element >> 8] = static_cast<uint16_t>(end + 1);
    by_pixel.elements[end] = static_cast<Element>(image_bits | (element & 255));
}

// Makes a block's lists by pixel, for the chunk of `count` images from `start` on.
static void list_by_pixel(const PixelRows& by_pixel, const ImageRows& by_image, int64_t start, int64_t count) {
    for (int pixel = 0; pixel < kBlockPixels; ++pixel) by_pixel.ends[pixel] = static_cast<uint16_t>(pixel * kRowStride);
    for (int64_t image = 0; image < count; ++image) {
        const Element* row = by_image.rows[start + image];
        const uint32_t elements = by_image.counts[start + image];
        const auto image_bits = static_cast<unsigned>(image << 8);
        for (uint32_t at = 0; at < elements; at += 2) {
            append(by_pixel, row[at], image_bits);
            append(by_pixel, row[at + 1], image_bits);
        }
        // An odd number appended one too many: the next block's first, or a value in a record's slack.
        by_pixel.ends[row[elements] >> 8] -= static_cast<uint16_t>(elements & 1);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
