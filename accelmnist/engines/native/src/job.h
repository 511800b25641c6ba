// Jobs for the native kernels: plain arrays with their lengths, and the checks of them.
//
// Nothing here knows Python or torch. Every array carries its own length, so that `problem_of` can compare all of them
// with the shapes before a kernel runs: a kernel trusts what was checked and receives nothing else. The indexes in
// `order` and the labels are checked when they are copied, in layout.cpp.

#pragma once

#include <cstdint>

namespace accelmnist {

constexpr int kPixels = 784;
constexpr int kClasses = 10;
constexpr int kPaddedClasses = 16;  // a row of logits, padded to whole vectors of every width
constexpr int kMaxLayers = 65;      // 64 hidden ones and the output
constexpr int kMaxUnits = 65536;
constexpr int kMaxThreads = 1024;
constexpr int64_t kMaxBatch = 1 << 24;
constexpr int kMaxSlots = 2;

// The least multiply-adds for which another thread is started, some 200 microseconds of work. On two cores of a Zen 4
// with AVX2, 784-128-10 took, with one thread and with two, 156 and 219 us for 128 images, 261 and 302 for 256, 378 and
// 351 for 400, 644 and 480 for 512; 784-512-512-10 took 426 and 487 us for 32, 573 and 533 for 64: both cross at some
// 10 million.
constexpr double kMinWorkPerThread = 5e6;

enum class Precision : int { fp32, bf16, count };
enum class Activation : int { relu, leaky_relu, gelu, silu, tanh, sigmoid, count };
enum class Output : int { softmax, sigmoid, linear, count };
enum class Rule : int { sgd, momentum, adam, adamw, count };

// The number of state arrays that a rule keeps for every parameter.
static inline int slots_of(Rule rule) { return rule == Rule::sgd ? 0 : rule == Rule::momentum ? 1 : 2; }

template <class Element>
struct Array {
    Element* data = nullptr;
    int64_t size = 0;
};

// Weights (units, inputs), row by row, and biases (units), each with its optimizer state.
struct Layer {
    int64_t inputs = 0;
    int64_t units = 0;
    Array<float> weight;
    Array<float> bias;
    Array<float> weight_slots[kMaxSlots];
    Array<float> bias_slots[kMaxSlots];
};

struct Network {
    Layer layers[kMaxLayers];
    int layer_count = 0;
    Activation activation = Activation::relu;
};

struct PixelSet;

// An epoch: `order` (steps * batch) holds indexes into a set of n images and `labels` (n). The set is `pixels`, where
// those that are not black are listed, else `images` (n * 784); in bf16 none are listed.
struct Epoch {
    Network network;
    Precision precision = Precision::fp32;
    const PixelSet* pixels = nullptr;
    Array<const uint8_t> images;
    Array<const int64_t> labels;
    Array<const int64_t> order;
    Array<const float> rates;   // (steps)
    Array<const int64_t> seeds;  // (steps), of dropout
    Array<float> losses;         // (steps), written
    int64_t steps = 0;
    int64_t batch = 0;
    Output output = Output::softmax;
    Rule rule = Rule::sgd;
    bool nesterov = false;
    double momentum = 0;
    double weight_decay = 0;
    double label_smoothing = 0;
    double dropout = 0;
    int64_t first = 0;  // the row of the whole batch that each of these begins with: dropout counts from there
    double beta1 = 0;
    double beta2 = 0;
    double epsilon = 0;
    double count = 0;  // updates before this epoch
    int threads = 1;

    bool lists_pixels() const { return precision == Precision::fp32 && pixels; }
};

// A PixelSet to be made from `images` (n * 784).
struct Listing {
    Array<const uint8_t> images;
    int threads = 1;
};

// A network to classify with, on at most `threads` threads, each with at least `min_work_per_thread` multiply-adds.
struct Model {
    Network network;
    int threads = 1;
    Precision precision = Precision::fp32;
    double min_work_per_thread = kMinWorkPerThread;
};

// Logits (n * 10) of `images` (n * 784).
struct Classification {
    Array<const uint8_t> images;
    Array<float> logits;
};

// Returns why the job can't be run, or nullptr. Checks shapes, lengths and ranges of numbers.
const char* problem_of(const Epoch& job);
const char* problem_of(const Listing& job);
const char* problem_of(const Model& model);
const char* problem_of(const Classification& job);

}  // namespace accelmnist
