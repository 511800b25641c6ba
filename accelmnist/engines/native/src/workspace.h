// Where an epoch's numbers lie while it runs: weights by panels, inputs by blocks, and bits for what is not zero.
//
// A panel is a slice of a layer's units, at most 64 floats wide, that one thread owns: its weights (inputs, width) with
// a row for each input, so that an input that is not zero touches one contiguous row; its activations and gradients
// (images, width). A block is a slice of a layer's inputs: of the pixels, or a panel of the layer before. A block's
// inputs are kept twice, by image for the forward pass and by input for the gradient of the weights, each time as a
// list of those in the row that are not zero. A block's rows of a panel fit the first-level cache, which is why there
// are blocks. Pixels by image lie in the set that all epochs share; see pixels.h.
//
// Panels are padded to whole vectors. Padding starts at zero, and stays there since no list names it.

#pragma once

#include "job.h"
#include "pixels.h"

namespace accelmnist {

constexpr int kChunk = 128;       // images that share one set of lists by input
constexpr int kPanelFloats = 64;  // a panel's largest width
// Elements of a pixel's row: the images of a chunk, and as much more as makes an odd number of cache lines, so that the
// starts of the rows, all that most of them use, are spread over all of the first-level cache.
constexpr int kRowStride = kChunk + kLineElements;

// Of each row, the elements that are not zero: places[begin] to places[begin + count], and their values.
struct Lists {
    uint32_t* begins;  // (rows)
    uint32_t* counts;  // (rows)
    uint8_t* places;   // within the block, or within the chunk of images
    float* values;
};

constexpr int kRowsRoom = 8;

// Of each image, the elements of a block: where they lie in the set, and how many.
struct ImageRows {
    const Element** rows;  // (batch), and kRowsRoom more to look ahead at
    uint8_t* counts;       // (batch)
};

// Of each pixel, an element for each image of a chunk in which it is not black: the image within the chunk in the place
// of the place. Row `pixel` begins at pixel * kRowStride and goes to ends[pixel].
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
    float* gradient;  // (a block's inputs, width), while it grows chunk by chunk
    float* bias;
    float* bias_slots[kMaxSlots];
    float* bias_gradient;
    float* values;  // (batch, width): activations
    float* slopes;  // (batch, width): derivative of the activation, null for relu, whose values tell it
    float* deltas;  // (batch, width): gradient of the loss at the sums
    float* back;    // gradient at the activations, one for each element of `by_image`
    // The output layer's weights from this panel, where it is of the last hidden layer.
    float* head;         // (10, width)
    float* head_turned;  // (width, 16)
    float* head_slots[kMaxSlots];
    float* head_gradient;
    // As the next layer's inputs, where it is not of the last hidden layer.
    Lists by_image;  // a row an image
    Lists by_unit;   // a row a unit, for one chunk of images after the other
};

struct LayerSpace {
    int inputs;
    int units;
    int panel_count;
    Panel* panels;
};

// One thread's own memory.
struct ThreadSpace {
    // (batch, 16): logits from this thread's panels. Two, used in turn: a thread that is ahead already adds to the next
    // step's while another still reads this one's.
    float* partial[2];
    float* logits;   // (batch, 16), then their gradients
    float* bias;     // (16): the output's biases; every thread keeps and updates its own, alike
    float* bias_slots[kMaxSlots];
    float* bias_gradient;
    float* turned;  // (kPanelFloats, kChunk): scratch
    ImageRows by_image[kPixelBlocks];
    PixelRows by_pixel;  // of one block and chunk after the other, where the threads don't share them
};

// Two threads list a step's pixels each for itself: lists that one core writes and another reads move between their
// caches, which takes as long. With more threads that would grow to most of a step, so they share the work; then there
// are two sets of lists, used in turn: a thread that is ahead already writes the next step's while another still reads
// this one's.
constexpr int kListingAlone = 2;
constexpr int kBuffers = 2;

struct Workspace {
    const Epoch* job;
    int threads;
    int64_t chunks;   // of a batch
    int layer_count;  // of those made of panels: the hidden ones, or the output's alone
    bool has_head;    // whether the output layer is narrow weights behind the panels of the last one
    LayerSpace* layers;
    ThreadSpace* spaces;
    PixelRows* by_pixel[kBuffers];  // (kPixelBlocks, chunks): of all threads, where they share them
    float* zeros;     // (kPanelFloats)
    // (steps, batch): copies, which nobody else can change after they were checked; for an image, where its record
    // begins (see PixelSet).
    uint32_t* starts;
    uint8_t* labels;

    bool shares_lists() const { return threads > kListingAlone; }
};

}  // namespace accelmnist
