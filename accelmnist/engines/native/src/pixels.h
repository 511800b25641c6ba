// The pixels of a set of images that are not black: made once, read by every step.
//
// An image's record is the number of elements in each of its blocks, a byte each, and then the elements, block by
// block. An element is two bytes: the place of the pixel within its block, and the pixel. Where 81 % of the pixels are
// black, as in MNIST, a record takes 320 bytes instead of an image's 784. Records begin at cache lines, since a step
// reads them in a random order.
//
// All levels write the same records. What a caller does with the bytes later makes no difference: they were copied.

#pragma once

#include <cstdint>

#include "job.h"
#include "memory.h"

namespace accelmnist {

constexpr int kBlockPixels = 112;  // four rows of an image
constexpr int kPixelBlocks = kPixels / kBlockPixels;

using Element = uint16_t;  // place * 256 + pixel, so that a place is a row of 64 floats with no more than a mask

constexpr int kSlack = 8;  // elements that a list's writer may write past its end
constexpr int kHeader = 8 / sizeof(Element);  // elements that the numbers of a record take
constexpr int kLineElements = kLine / sizeof(Element);
constexpr int kRecordLines = (kHeader + kPixels + kSlack + kLineElements - 1) / kLineElements;  // of the largest record
constexpr int64_t kMaxPixelImages = UINT32_MAX / kRecordLines - 1;

// Image `image`'s record begins `starts[image]` cache lines behind `records`.
struct PixelSet {
    int64_t images;
    uint32_t* starts;
    Element* records;
};

// A set with its memory, as yet without records: room for the largest ones, of which only what is written is ever
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
