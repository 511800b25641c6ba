// The pixels of a set of images that are not black, listed once and read by every step.
//
// An image's record is the number of elements in each of its blocks, a byte each, and then the elements, block by
// block. An element is two bytes: the pixel's index within its block, and its value. If 81 % of the pixels are black,
// as in MNIST, a record takes 320 bytes instead of an image's 784. Records begin at cache lines, since a step reads
// them in a random order.
//
// All levels write the same records. The bytes are copied, so a caller may change its own later.

#pragma once

#include <cstdint>

#include "job.h"
#include "memory.h"

namespace accelmnist {

constexpr float kPixelScale = 1.0f / 255.0f;

constexpr int kBlockPixels = 112;  // four rows of an image
constexpr int kPixelBlocks = kPixels / kBlockPixels;

using Element = uint16_t;  // index * 256 + pixel: a mask alone turns it into the byte offset of a row of 64 floats

constexpr int kSlack = 8;  // elements that a list's writer may write past its end
constexpr int kHeader = 8 / sizeof(Element);  // elements that a record's counts take
constexpr int kLineElements = kLine / sizeof(Element);
constexpr int kRecordLines = (kHeader + kPixels + kSlack + kLineElements - 1) / kLineElements;  // of the largest record
constexpr int64_t kMaxPixelImages = UINT32_MAX / kRecordLines - 1;

// Image `image`'s record begins `starts[image]` cache lines behind `records`.
struct PixelSet {
    int64_t images;
    uint32_t* starts;
    Element* records;
};

// A set with its memory, as yet without records. It has capacity for the largest records; only what is written is ever
// backed by real memory. Throws std::bad_alloc.
class PixelStore {
public:
    explicit PixelStore(int64_t images);

    PixelSet set;

private:
    Memory starts_;
    Memory records_;
};

}  // namespace accelmnist
