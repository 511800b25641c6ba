// An epoch's memory while it runs: weights by panels, inputs by blocks, and lists of what is not zero.
//
// A panel is a slice of a layer's units, at most 64 floats wide, that one thread owns: its weights (inputs, width) with
// a row for each input, so that an input that is not zero touches one contiguous row; its activations and gradients
// (images, width). A block is a slice of a layer's inputs: of the pixels, or a panel of the layer before. There are
// blocks so that a block's rows of a panel fit the first-level cache.
//
// Pixels are mostly zero, and the units of a rectifier may be: then only the others are multiplied. They are listed
// twice, by image for the forward pass and by input for the gradient of the weights. Pixels by image lie in the set
// that all epochs share; see pixels.h. Other units are multiplied as they lie in the panels; of images with much ink
// all pixels are, made from their bytes block by block.
//
// Panels are padded to whole vectors. Padding starts as zero and stays zero, since no gradient reaches it.
//
// In bf16 there are no lists. The factors of the products are pairs of numbers in 16 bits; what the masters, sums and
// gradients are, in float32, is the same as above. See bf16_products.h.

#pragma once

#include "job.h"
#include "pixels.h"

namespace accelmnist {

constexpr int kChunk = 128;       // images that share one set of lists by input
constexpr int kPanelFloats = 64;  // a panel's largest width

// Two bf16 that a product adds up together, the first of them in the low half.
using Pair = uint32_t;
constexpr int kPairsAtOnce = 64;              // of a product: a bit each of a mask
constexpr int kBlockInputs = 2 * kPairsAtOnce;  // whose rows of weights fit the first-level cache
static_assert(kChunk == 2 * kPairsAtOnce, "a chunk of images is one product's pairs");
constexpr int kInputPadding = 16;  // rows of weights are turned by whole vectors
constexpr int kImagePadding = 16;  // a product takes so many rows at once: those of images are padded to them
// Elements of a pixel's row: the images of a chunk, and one more cache line to make their number odd, so that the
// starts of the rows, which is all that most of them use, spread over the whole first-level cache.
constexpr int kRowStride = kChunk + kLineElements;

// Each row's elements that are not zero: indices[begin] to indices[begin + count], and their values.
struct Lists {
    uint32_t* begins;  // (rows)
    uint32_t* counts;  // (rows)
    uint8_t* indices;  // within the block, or within the chunk of images
    float* values;
};

constexpr int kRowsPadding = 8;

// Each image's elements of a block: their address in the set, and their number.
struct ImageRows {
    const Element** rows;  // (batch), and kRowsPadding more for the prefetch
    uint8_t* counts;       // (batch)
};

// Each pixel's elements, one for each image of a chunk in which it is not black, with the image's index within the
// chunk. Row `pixel` begins at pixel * kRowStride and ends at ends[pixel].
struct PixelRows {
    Element* elements;  // (kBlockPixels, kRowStride)
    uint16_t* ends;     // (kBlockPixels)
};

struct Panel {
    int first;  // its first unit
    int units;
    int vectors;
    int width;  // floats of a row
    int owner;  // thread
    float* weight;
    float* slots[kMaxSlots];
    float* gradient;  // (a block's inputs, width), accumulated chunk by chunk
    float* bias;
    float* bias_slots[kMaxSlots];
    float* bias_gradient;
    float* values;            // (batch, width): activations
    float* activation_grads;  // (batch, width): derivative of the activation; null for relu, whose values imply it
    float* deltas;            // (batch, width): gradient of the loss at the sums
    float* nonzero_grads;     // gradient at the activations that are not zero, one for each element of `by_image`
    // The output layer's weights from this panel, if it is of the last hidden layer.
    float* head;             // (10, width)
    float* head_transposed;  // (width, 16)
    float* head_slots[kMaxSlots];
    float* head_gradient;
    // The next layer's inputs, if they may be listed: if zero says that the gradient is too. Null otherwise.
    bool* is_listed;  // (1): in this step
    Lists by_image;  // a row an image
    Lists by_unit;   // a row a unit, chunk after chunk of images
    // In bf16: the factors of the products.
    Pair* pair_weights;  // (pairs of inputs, width)
    Pair* pair_deltas;   // (pairs of images, width)
};

// In bf16, what the products of a layer's neighbours read; every thread writes its own panels' part.
struct LayerPairs {
    int64_t row;              // pairs of a row of units, padded with zeros
    int64_t stride;           // from a pair of images to the next
    int64_t turned_stride;    // from a pair of units to the next
    Pair* values;             // (batch, row): activations; of all layers but the last
    Pair* values_by_images;   // (pairs of images, stride): the same, chunk after chunk; for tiles each chunk is turned
    Pair* deltas;             // (batch, row); of all layers but the first
    Pair* turned;             // (row, turned_stride): weights by pairs of units; of all layers but the first
};

struct LayerSpace {
    int inputs;
    int units;
    int panel_count;
    Panel* panels;
    LayerPairs pairs;
};

// One thread's own memory.
struct ThreadSpace {
    // (batch, 16): logits from this thread's panels. There are two, which alternate: a thread that is ahead already
    // adds to the next step's while another still reads this one's.
    float* partial[2];
    float* logits;   // (batch, 16), then their gradients
    float* bias;     // (16): the output's biases; every thread updates a copy of its own, and all are equal
    float* bias_slots[kMaxSlots];
    float* bias_gradient;
    float* transposed;  // (kPanelFloats, kChunk): scratch
    ImageRows by_image[kPixelBlocks];
    PixelRows by_pixel;  // of one block and chunk after another, if the threads don't share them
    float* block_pixels;  // (kChunk, kBlockPixels): of one block and chunk after another, if none are listed
    // In bf16: the step's images (batch, kByteStride); pixels of one chunk after another by image (kChunk,
    // kPixelStride), and of one block and chunk after another by pairs of images (kPairsAtOnce, kPairStride), for tiles
    // also turned (kBlockInputs, kPairsAtOnce).
    uint8_t* bytes;
    Pair* pixels;
    Pair* block;
    Pair* turned;
};

// From a pair of images to the next, of a block's inputs: an odd number of cache lines, so that a column of them
// spreads over the whole first-level cache.
constexpr int kPairStride = kBlockInputs + 16;
constexpr int kInputBlocks = (kPixels + kBlockInputs - 1) / kBlockInputs;
constexpr int kByteStride = kInputBlocks * kBlockInputs;  // padded with zeros
constexpr int kPixelStride = kInputBlocks * kPairsAtOnce;

// Each of two threads lists a step's pixels itself: lists that one core writes and another reads move between their
// caches, which takes as long. With more threads the listing would grow to most of a step, so they share it; then there
// are two sets of lists, which alternate: a thread that is ahead already writes the next step's while another still
// reads this one's.
constexpr int kListingAlone = 2;
constexpr int kBuffers = 2;

struct Workspace {
    const Epoch* job;
    int threads;
    int64_t chunks;   // of a batch
    int layer_count;  // of the layers made of panels: the hidden ones, or the output alone
    bool has_head;    // whether the output layer's weights lie in the panels of the last hidden layer
    LayerSpace* layers;
    ThreadSpace* spaces;
    PixelRows* by_pixel[kBuffers];  // (kPixelBlocks, chunks): of all threads, if they share them
    float* zeros;                   // (kPanelFloats)
    // (steps, batch): copies, which nobody else can change once they are checked; an image is the start of its record
    // (see PixelSet), its number if there are none. To classify there are none: the images are taken in order.
    uint32_t* starts;
    uint8_t* labels;

    bool shares_lists() const { return threads > kListingAlone; }
};

}  // namespace accelmnist
