// The products of a step in bf16: operands rounded to it, sums, masters and all else in float32.
//
// Three products make a layer: sums = inputs * weights, gradients of the inputs = deltas * weights turned, gradients of
// the weights = inputs turned * deltas. The last is summed over pairs of images, so that nothing has to be turned
// for it but which two numbers lie together. Pixels are made from bytes block by block. The output layer after hidden
// ones, a hundredth of the work, stays in float32.
//
// The weights are masters in float32, by input, as in float32; each update writes those of a block once more, as pairs
// of inputs, and for the layer below as pairs of units.

#pragma once

#include "bf16_pixels.h"
#include "head.h"
#include "member.h"
#include "transpose.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct Bf16Products : Member {
    using Member::Member;

    void begin_step(int64_t) const {}
    void take_images() const {}
    void share(int64_t) const {}

    uint8_t* bytes_of(int64_t chunk) const { return own.bytes + chunk * kChunk * kByteStride; }

    // --- what products are made of

    // Writes the weights of `inputs` inputs from `first` on, an even number, as pairs.
    void keep_weights_from(int number, const Panel& panel, int64_t first, int64_t inputs) const {
        for (int64_t input = first; input < first + inputs; input += 2)
            for (int vector = 0; vector < panel.vectors; ++vector) {
                const float* one = panel.weight + input * panel.width + vector * kLanes;
                const Floats other = input + 1 < space.layers[number].inputs ? load(one + panel.width) : Floats{};
                store_pairs(panel.pair_weights + input / 2 * panel.width + vector * kLanes, pairs_of(load(one), other));
            }
    }

    // Writes the weights of up to eight inputs from `first` on as pairs of units.
    void turn_weights_from(int number, const Panel& panel, int64_t first) const {
        const LayerPairs& pairs = space.layers[number].pairs;
        const int64_t inputs = space.layers[number].inputs;
        alignas(64) Pair rows[8][kPanelFloats / 2] = {};
        for (int row = 0; row < 8 && first + row < inputs; ++row)
            for (int vector = 0; vector < panel.vectors; ++vector) {
                const float* weights = panel.weight + (first + row) * panel.width;
                store_row(rows[row] + vector * kLanes / 2, load(weights + vector * kLanes));
            }
        Pair* turned = pairs.turned + panel.first / 2 * pairs.turned_stride + first;
        turn_rows(rows[0], kPanelFloats / 2, panel.width / 2, turned, pairs.turned_stride);
    }

    void turn_weights(int number, const Panel& panel, int64_t first, int64_t inputs) const {
        if (space.layers[number].pairs.turned)
            for (int64_t input = first; input < first + inputs; input += 8) turn_weights_from(number, panel, input);
    }

    void keep_weights(int number, const Panel& panel) const {
        keep_weights_from(number, panel, 0, space.layers[number].inputs);
        turn_weights(number, panel, 0, space.layers[number].inputs);
    }

    // Writes a panel's part of a matrix of images (batch, units) as a layer's rows.
    void keep_rows(const Panel& panel, const float* values, Pair* rows, int64_t row) const {
        for (int64_t image = 0; image < job.batch; ++image)
            for (int vector = 0; vector < panel.vectors; ++vector)
                store_row(
                    rows + image * row + (panel.first + vector * kLanes) / 2,
                    load(values + image * panel.width + vector * kLanes)
                );
    }

    // Writes `images` images of it as pairs of images, `stride` apart.
    static void pair_images(const Panel& panel, const float* values, int64_t images, Pair* pairs, int64_t stride) {
        for (int64_t image = 0; image < images; image += 2)
            for (int vector = 0; vector < panel.vectors; ++vector) {
                const float* one = values + image * panel.width + vector * kLanes;
                const Floats other = image + 1 < images ? load(one + panel.width) : Floats{};
                store_pairs(pairs + image / 2 * stride + vector * kLanes, pairs_of(load(one), other));
            }
    }

    // Turns pairs of images (kPairsAtOnce, kPairStride) of some inputs into a row of pairs for each input.
    static void turn_images(const Pair* pairs, int inputs, Pair* turned) {
        for (int pair = 0; pair < kPairsAtOnce; pair += 8)
            turn_rows(pairs + pair * kPairStride, kPairStride, inputs, turned + pair, kPairsAtOnce);
    }

    // The activations of a layer's units from `first` on as factors of a chunk's gradients of the weights.
    static Left inputs_by_images(const LayerPairs& pairs, int64_t chunk, int64_t first) {
        const Pair* block = pairs.values_by_images + chunk * kPairsAtOnce * pairs.stride;
        if (kTurnsImages) return {block + first * kPairsAtOnce, kPairsAtOnce, 1};
        return {block + first, 1, pairs.stride};
    }

    void keep_by_images(const Panel& panel, const LayerPairs& pairs) const {
        for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
            const float* values = panel.values + chunk * kChunk * panel.width;
            Pair* to = const_cast<Pair*>(inputs_by_images(pairs, chunk, panel.first).at);
            if (!kTurnsImages) pair_images(panel, values, images_in(chunk), to, pairs.stride);
            if (!kTurnsImages) continue;
            pair_images(panel, values, images_in(chunk), own.block, kPairStride);
            turn_images(own.block, panel.width, to);
        }
    }

    // Keeps a panel's activations as inputs of the next layer, for training also as factors of its gradients.
    void keep_inputs(int number, const Panel& panel, bool is_training) const {
        const LayerPairs& pairs = space.layers[number].pairs;
        keep_rows(panel, panel.values, pairs.values, pairs.row);
        if (is_training) keep_by_images(panel, pairs);
    }

    void keep_deltas(int number, const Panel& panel) const {
        const LayerPairs& pairs = space.layers[number].pairs;
        pair_images(panel, panel.deltas, job.batch, panel.pair_deltas, panel.width);
        if (number > 0) keep_rows(panel, panel.deltas, pairs.deltas, pairs.row);
    }

    // --- sums

    // values[image] (+)= left * right, for `images` images; the last part also gives them their scale and bias.
    void add_sums(
        const Panel& panel, const Left& left, const Right& right, const uint64_t* masks, uint64_t mask, float* values,
        int64_t images, bool is_first, bool is_last, float scale
    ) const {
        for (int64_t image = 0; image < images; image += kRows) {
            float* out = values + image * panel.width;
            const auto rows = static_cast<int>(images - image < kRows ? images - image : kRows);
            multiply_rows(
                left.from(image, 0), right, masks ? masks[image / kRows] : mask, rows, panel.vectors,
                is_first ? nullptr : out, panel.width,
                [&](int row, int vector, auto& sums) {
                    for (auto& sum : sums) {
                        const int64_t at = vector++ * kLanes;
                        store(out + row * panel.width + at, is_last ? sum * scale + load(panel.bias + at) : sum);
                    }
                }
            );
        }
    }

    // Sums each own panel of the first layer.
    void sum_pixels(int64_t step) const {
        uint64_t masks[kInputBlocks][kChunk / kRows];
        for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
            const int64_t images = images_in(chunk);
            gather(images_of(step, chunk * kChunk), images, bytes_of(chunk), own.pixels, masks[0]);
            for (int block = 0; block < kInputBlocks; ++block) {
                prefetch_images(step, chunk, block, kInputBlocks);
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    const Left pixels{own.pixels + block * kPairsAtOnce, kPixelStride, 1};
                    const Right weights{panel.pair_weights + block * kPairsAtOnce * panel.width, panel.width};
                    float* values = panel.values + chunk * kChunk * panel.width;
                    const bool is_last = block + 1 == kInputBlocks;
                    add_sums(panel, pixels, weights, masks[block], 0, values, images, block == 0, is_last, kPixelScale);
                });
            }
        }
    }

    void sum_units(int number, const Panel& panel) const {
        const LayerPairs& below = space.layers[number - 1].pairs;
        for (int64_t pair = 0; pair < below.row; pair += kPairsAtOnce)
            add_sums(
                panel, {below.values + pair, below.row, 1}, {panel.pair_weights + pair * panel.width, panel.width},
                nullptr, lowest_bits(below.row - pair), panel.values, job.batch, pair == 0,
                pair + kPairsAtOnce >= below.row, 1.0f
            );
    }

    // --- gradients

    // The gradients at the sums of layer `number`, from those of the layer above and its weights.
    void backward_into(int number, float scale) const {
        const LayerPairs& above = space.layers[number + 1].pairs;
        for_own_panels(space.layers[number], [&](const Panel& panel) {
            for (int64_t pair = 0; pair < above.row; pair += kPairsAtOnce) {
                const bool is_last = pair + kPairsAtOnce >= above.row;
                for (int64_t image = 0; image < job.batch; image += kRows) {
                    const int64_t start = image * panel.width;
                    const auto rows = static_cast<int>(job.batch - image < kRows ? job.batch - image : kRows);
                    multiply_rows(
                        {above.deltas + image * above.row + pair, above.row, 1},
                        {above.turned + pair * above.turned_stride + panel.first, above.turned_stride},
                        lowest_bits(above.row - pair), rows, panel.vectors, pair ? panel.deltas + start : nullptr,
                        panel.width,
                        [&](int row, int vector, auto& sums) {
                            for (auto& sum : sums) {
                                const int64_t at = start + row * panel.width + vector++ * kLanes;
                                store(panel.deltas + at, is_last ? through_activation(panel, at, sum, scale) : sum);
                            }
                        }
                    );
                }
            }
        });
    }

    // Prefetches kRows rows of weights and their state: under a rule with state, a panel is larger than the
    // second-level cache and is touched once a step.
    static void prefetch_rows(const Panel& panel, const UpdateParams& params, int64_t first) {
        if (params.rule == Rule::sgd) return;
        const float* arrays[] = {panel.weight, panel.slots[0], panel.slots[1]};
        asm volatile("");  // GCC drops calls of a function that only prefetches
        for (int array = 0; array <= slots_of(params.rule); ++array)
            for (int64_t at = first * panel.width; at < (first + kRows) * panel.width; at += kLine / sizeof(float))
                __builtin_prefetch(arrays[array] + at, 1);
    }

    // Adds a chunk's part of the gradient of a block's rows of weights, from input `first` on; the last chunk's part
    // updates the rows. `left` and `masks` are those of the block; without masks nothing is left out.
    void update_rows(
        int number, const Panel& panel, int64_t chunk, int64_t first, int64_t inputs, const Left& left,
        const uint64_t* masks, const UpdateParams& params
    ) const {
        const Right right{panel.pair_deltas + chunk * kPairsAtOnce * panel.width, panel.width};
        const uint64_t all = lowest_bits((images_in(chunk) + 1) / 2);
        const bool is_last = chunk == space.chunks - 1;
        const float scale = number == 0 ? kPixelScale : 1.0f;
        for (int64_t input = 0; input < inputs; input += kRows) {
            const uint64_t mask = masks ? masks[input / kRows] : all;
            float* partial = panel.gradient + input * panel.width;
            const auto rows = static_cast<int>(inputs - input < kRows ? inputs - input : kRows);
            if (!mask && chunk == 0 && is_last && params.keeps_untouched) continue;
            const ParamRef weights{panel.weight, panel.slots};
            if (is_last) prefetch_rows(panel, params, first + input + kRows);
            multiply_rows(
                left.from(input, 0), right, mask, rows, panel.vectors, chunk ? partial : nullptr, panel.width,
                [&](int row, int vector, auto& sums) {
                    constexpr int kCount = sizeof sums / sizeof sums[0];
                    const int64_t at = row * panel.width + vector * kLanes;
                    if (!is_last)
                        for (int one = 0; one < kCount; ++one) store(partial + at + one * kLanes, sums[one]);
                    if (!is_last) return;
                    for (auto& sum : sums) sum *= scale;
                    update_vectors<kCount>(params, weights, (first + input) * panel.width + at, sums);
                }
            );
            if (is_last) keep_weights_from(number, panel, first + input, rows);
        }
        if (is_last) turn_weights(number, panel, first, inputs);
    }

    void update_by_pixels(int64_t, const UpdateParams& params) const {
        uint64_t masks[kBlockInputs / kRows];
        for (int first = 0; first < kPixels; first += kBlockInputs)
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const bool is_whole = first + kBlockInputs <= kPixels;
                const auto write = is_whole ? write_by_images<kBlockInputs> : write_by_images<kTailPixels>;
                write(bytes_of(chunk) + first, images_in(chunk), own.block, masks);
                const int pixels = is_whole ? kBlockInputs : kTailPixels;
                if (kTurnsImages) turn_images(own.block, pixels, own.turned);
                const Left left = kTurnsImages ? Left{own.turned, kPairsAtOnce, 1} : Left{own.block, 1, kPairStride};
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    update_rows(0, panel, chunk, first, pixels, left, masks, params);
                });
            }
    }

    void update_by_units(int number, const Panel& panel, const UpdateParams& params) const {
        const LayerPairs& below = space.layers[number - 1].pairs;
        const int64_t inputs = space.layers[number].inputs;
        for (int64_t first = 0; first < inputs; first += kBlockInputs)
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const int64_t count = inputs - first < kBlockInputs ? inputs - first : kBlockInputs;
                const Left left = inputs_by_images(below, chunk, first);
                update_rows(number, panel, chunk, first, count, left, nullptr, params);
            }
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
