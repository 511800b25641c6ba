// An epoch, as one thread of the team runs it.
//
// Every thread owns some panels of each layer for the whole epoch: it computes their activations, their part of the
// logits, their gradients and their updates, so weights never move between cores. With one hidden layer the threads
// synchronize once a step, to add the parts of the logits; each then computes the loss of the whole batch itself, which
// is cheaper than another barrier. Every further hidden layer adds one barrier forward and one backward.

#pragma once

#include "activation.h"
#include "head.h"
#include "lists.h"
#include "pixel_lists.h"
#include "rows.h"
#include "team.h"
#include "update.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct Trainer {
    const Workspace& space;
    const Epoch& job;
    const ThreadSpace& own;
    Barrier* const barrier;  // null if there is one thread
    const int thread;

    Trainer(const Workspace& space, Barrier* barrier, int thread)
        : space(space), job(*space.job), own(space.spaces[thread]), barrier(barrier), thread(thread) {}

    template <class Function>
    void for_own_panels(const LayerSpace& layer, Function function) const {
        for (int number = 0; number < layer.panel_count; ++number)
            if (layer.panels[number].owner == thread) function(layer.panels[number]);
    }

    const LayerSpace& last() const { return space.layers[space.layer_count - 1]; }
    bool keeps_zeros() const { return job.network.activation != Activation::relu; }
    const uint32_t* starts_of(int64_t step) const { return space.starts + step * job.batch; }

    void wait_for_all() const {
        if (barrier) barrier_wait(*barrier);
    }

    // --- loading and storing weights

    struct Load {
        static void one(const float& outside, float& inside) { inside = outside; }
        static void square(const float* outside, int64_t inputs, float* inside, int width) {
            transpose_8x8(outside, inputs, inside, width);
        }
    };

    struct Store {
        static void one(float& outside, const float& inside) { outside = inside; }
        static void square(float* outside, int64_t inputs, const float* inside, int width) {
            transpose_8x8(inside, width, outside, inputs);
        }
    };

    // Moves weights between the caller's matrix (units, inputs) and a panel's (inputs, width), sixteen inputs at a
    // time: a cache line of the caller's.
    template <class Move>
    void move_matrix(const Panel& panel, int64_t inputs, float* rows, float* columns) const {
        constexpr int kSquare = 8;
        float* const own_rows = rows + panel.first * inputs;
        const auto move_square = [&](int unit, int64_t input) {
            float *outside = own_rows + unit * inputs + input, *inside = columns + input * panel.width + unit;
            if (unit + kSquare <= panel.units && input + kSquare <= inputs)
                return Move::square(outside, inputs, inside, panel.width);
            for (int row = 0; row < kSquare && unit + row < panel.units; ++row)
                for (int at = 0; at < kSquare && input + at < inputs; ++at)
                    Move::one(outside[row * inputs + at], inside[at * panel.width + row]);
        };
        for (int64_t start = 0; start < inputs; start += 2 * kSquare)
            for (int unit = 0; unit < panel.units; unit += kSquare)
                for (int64_t input = start; input < start + 2 * kSquare && input < inputs; input += kSquare)
                    move_square(unit, input);
    }

    template <class Move>
    void move_panel(const Panel& panel, const Layer& layer) const {
        const auto move_vector = [&](float* outside, float* inside) {
            for (int unit = 0; unit < panel.units; ++unit) Move::one(outside[panel.first + unit], inside[unit]);
        };
        move_matrix<Move>(panel, layer.inputs, layer.weight.data, panel.weight);
        move_vector(layer.bias.data, panel.bias);
        for (int slot = 0; slot < slots_of(job.rule); ++slot) {
            move_matrix<Move>(panel, layer.inputs, layer.weight_slots[slot].data, panel.slots[slot]);
            move_vector(layer.bias_slots[slot].data, panel.bias_slots[slot]);
        }
    }

    template <class Move>
    void move_head(const Panel& panel, const Layer& layer) const {
        const auto move_rows = [&](float* outside, float* inside) {
            for (int label = 0; label < kClasses; ++label)
                for (int unit = 0; unit < panel.units; ++unit)
                    Move::one(outside[label * layer.inputs + panel.first + unit], inside[label * panel.width + unit]);
        };
        move_rows(layer.weight.data, panel.head);
        for (int slot = 0; slot < slots_of(job.rule); ++slot)
            move_rows(layer.weight_slots[slot].data, panel.head_slots[slot]);
    }

    template <class Move>
    void move_head_bias(const Layer& layer) const {
        for (int label = 0; label < kClasses; ++label) {
            Move::one(layer.bias.data[label], own.bias[label]);
            for (int slot = 0; slot < slots_of(job.rule); ++slot)
                Move::one(layer.bias_slots[slot].data[label], own.bias_slots[slot][label]);
        }
    }

    template <class Move>
    void move_own(bool head_bias_too) const {
        const Layer* layers = job.network.layers;
        for (int number = 0; number < space.layer_count; ++number)
            for_own_panels(space.layers[number], [&](const Panel& panel) { move_panel<Move>(panel, layers[number]); });
        if (!space.has_head) return;
        const Layer& output = layers[job.network.layer_count - 1];
        for_own_panels(last(), [&](const Panel& panel) { move_head<Move>(panel, output); });
        if (head_bias_too) move_head_bias<Move>(output);
    }

    void load_weights() const {
        move_own<Load>(true);
        if (space.has_head) for_own_panels(last(), [](const Panel& panel) { transpose_head(panel); });
    }

    // Only the first thread stores the output's biases, of which all threads have equal copies.
    void store_weights() const { move_own<Store>(thread == 0); }

    // --- a step

    // Prefetches part `part` of a step's records. The parts come between the blocks of the first layer's work, since
    // the processor can wait for few lines at a time.
    void prefetch_step(int64_t step, int part) const {
        if (step >= job.steps) return;
        const int64_t from = job.batch * part / kPixelBlocks, until = job.batch * (part + 1) / kPixelBlocks;
        prefetch_records(*job.pixels, starts_of(step) + from, until - from);
    }

    // The panels of the layer below, whose units are the inputs of layer `number`.
    template <class Function>
    void for_input_panels(int number, Function function) const {
        const LayerSpace& below = space.layers[number - 1];
        for (int index = 0; index < below.panel_count; ++index) function(below.panels[index]);
    }

    static const float* rows_from(const Panel& panel, int input) { return panel.weight + int64_t{input} * panel.width; }

    void sum_pixels(const Panel& panel, int64_t step, bool prefetches) const {
        for (int number = 0; number < kPixelBlocks; ++number) {
            const float* start = number == 0 ? panel.bias : nullptr;
            const float* tile = rows_from(panel, number * kBlockPixels);
            add_rows(panel.vectors, tile, own.by_image[number], job.batch, start, panel.values);
            if (prefetches) prefetch_step(step + 1, number);
        }
    }

    void sum_units(int number, const Panel& panel) const {
        const float* start = panel.bias;
        for_input_panels(number, [&](const Panel& below) {
            add_rows(panel.vectors, rows_from(panel, below.first), below.by_image, job.batch, start, panel.values);
            start = nullptr;
        });
    }

    // The own panels' part of the logits. Training adds dropout and lists of the activations by unit.
    void forward(int64_t step, bool is_training) const {
        for (int number = 0; number < space.layer_count; ++number) {
            const LayerSpace& layer = space.layers[number];
            const bool is_last = number + 1 == space.layer_count;
            const Dropout dropout =
                is_training ? dropout_of(job.dropout, job.seeds.data[step], number, job.first) : Dropout{};
            bool is_first = true;
            for_own_panels(layer, [&](const Panel& panel) {
                number == 0 ? sum_pixels(panel, step, is_first) : sum_units(number, panel);
                is_first = false;
                if (!space.has_head) return;
                activate(job.network.activation, panel, job.batch, layer.units, dropout);
                if (is_last) return;
                list_panel(panel, job.batch, keeps_zeros());
                if (is_training) transpose_and_list_panel(panel, job.batch, keeps_zeros(), own.transposed);
            });
            if (!is_last) wait_for_all();
        }
        if (!space.has_head) return;
        float* partial = own.partial[step % 2];
        std::memset(partial, 0, sizeof(float) * static_cast<size_t>(job.batch * kPaddedClasses));
        for_own_panels(last(), [&](const Panel& panel) { add_logits(panel, job.batch, partial); });
    }

    void add_partial_logits(int64_t step) const {
        for (int64_t image = 0; image < job.batch; ++image)
            for (int vector = 0; vector < kHeadVectors; ++vector) {
                const int64_t at = image * kPaddedClasses + vector * kLanes;
                Floats sum = load(own.bias + vector * kLanes);
                for (int other = 0; other < space.threads; ++other)
                    sum += load(space.spaces[other].partial[step % 2] + at);
                store(own.logits + at, sum);
            }
    }

    // Returns the mean loss of the batch; logits become their gradients.
    float loss_of(float* logits, int64_t step) const {
        const LossSpec spec = loss_spec_of(job);
        const uint8_t* labels = space.labels + step * job.batch;
        double sum = 0;
        for (int64_t image = 0; image < job.batch; image += kLanes) {
            const auto count = static_cast<int>(job.batch - image < kLanes ? job.batch - image : kLanes);
            sum += losses_of(spec, labels + image, count, logits + image * kPaddedClasses);
        }
        return static_cast<float>(sum / static_cast<double>(job.batch));
    }

    void update_head_bias(const UpdateParams& params) const {
        for (int vector = 0; vector < kHeadVectors; ++vector) {
            Floats sum{};
            for (int64_t image = 0; image < job.batch; ++image)
                sum += load(own.logits + image * kPaddedClasses + vector * kLanes);
            store(own.bias_gradient + vector * kLanes, sum);
        }
        update(params, {own.bias, own.bias_slots}, own.bias_gradient, kPaddedClasses);
    }

    void backward_through_head(const UpdateParams& params, float scale) const {
        for_own_panels(last(), [&](const Panel& panel) {
            backward_from_head(panel, job.batch, own.logits, scale);
            update_head(panel, job.batch, own.logits, params);
        });
        update_head_bias(params);
    }

    // The gradients at the sums of layer `number`, from those of the layer above and its weights, which all threads
    // own.
    void backward_into(int number, float scale) const {
        const LayerSpace& above = space.layers[number + 1];
        for_own_panels(space.layers[number], [&](const Panel& panel) {
            const Lists& lists = panel.by_image;
            const uint32_t end = lists.begins[job.batch - 1] + lists.counts[job.batch - 1];
            std::memset(panel.nonzero_grads, 0, sizeof(float) * end);
            for (int other = 0; other < above.panel_count; ++other) {
                const Panel& source = above.panels[other];
                const float* tile = source.weight + int64_t{panel.first} * source.width;
                dot_rows(source.vectors, tile, source.deltas, lists, job.batch, panel.nonzero_grads);
            }
            std::memset(panel.deltas, 0, sizeof(float) * static_cast<size_t>(job.batch * panel.width));
            for (int64_t image = 0; image < job.batch; ++image) scatter_grads(panel, image, scale);
        });
    }

    // Scatters an image's part of `nonzero_grads` into `deltas`.
    void scatter_grads(const Panel& panel, int64_t image, float scale) const {
        const Lists& lists = panel.by_image;
        for (uint32_t at = lists.begins[image]; at < lists.begins[image] + lists.counts[image]; ++at) {
            const int64_t to = image * panel.width + lists.indices[at];
            panel.deltas[to] = panel.nonzero_grads[at] * (panel.activation_grads ? panel.activation_grads[to] : scale);
        }
    }

    // Adds a chunk's part of the gradient of a block's rows of weights, from input `first` on; the last chunk's part
    // updates the rows.
    template <class Rows>
    void update_rows(
        const Panel& panel, int64_t chunk, int first, int inputs, const Rows& by_input, const UpdateParams& params
    ) const {
        const int64_t at = int64_t{first} * panel.width, last_chunk = space.chunks - 1;
        const float* tile = panel.deltas + chunk * kChunk * panel.width;
        if (chunk < last_chunk) {
            const float* start = chunk == 0 ? space.zeros : nullptr;
            add_rows(panel.vectors, tile, by_input, inputs, start, panel.gradient);
            return;
        }
        float* slots[kMaxSlots] = {};
        for (int slot = 0; slot < slots_of(job.rule); ++slot) slots[slot] = panel.slots[slot] + at;
        const float* partial = last_chunk ? panel.gradient : nullptr;
        accumulate_and_update_rows(panel.vectors, tile, by_input, inputs, partial, params, {panel.weight + at, slots});
    }

    // Lists a block of a chunk by pixel.
    void list_block(const PixelRows& rows, int number, int64_t chunk) const {
        const int64_t start = chunk * kChunk, left = job.batch - start;
        list_by_pixel(rows, own.by_image[number], start, left < kChunk ? left : kChunk);
    }

    const PixelRows& shared_rows(int64_t step, int number, int64_t chunk) const {
        return space.by_pixel[step % kBuffers][number * space.chunks + chunk];
    }

    // This thread's share of the lists by pixel: one of every `threads` blocks of the chunks.
    void list_share(int64_t step) const {
        if (!space.shares_lists()) return;
        int64_t block = 0;
        for (int64_t chunk = 0; chunk < space.chunks; ++chunk)
            for (int number = 0; number < kPixelBlocks; ++number)
                if (block++ % space.threads == thread) list_block(shared_rows(step, number, chunk), number, chunk);
    }

    // Updates the first layer's weights. A thread that lists alone lists a block of a chunk once, for all own panels.
    void update_by_pixels(int64_t step, const UpdateParams& params) const {
        for (int number = 0; number < kPixelBlocks; ++number)
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const PixelRows& rows = space.shares_lists() ? shared_rows(step, number, chunk) : own.by_pixel;
                if (!space.shares_lists()) list_block(rows, number, chunk);
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    update_rows(panel, chunk, number * kBlockPixels, kBlockPixels, rows, params);
                });
            }
    }

    void update_by_units(int number, const Panel& panel, const UpdateParams& params) const {
        for_input_panels(number, [&](const Panel& below) {
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const Lists lists = of_chunk(below.by_unit, chunk, below.width);
                update_rows(panel, chunk, below.first, below.units, lists, params);
            }
        });
    }

    void update_bias(const Panel& panel, const UpdateParams& params) const {
        for (int vector = 0; vector < panel.vectors; ++vector) {
            Floats sum{};
            for (int64_t image = 0; image < job.batch; ++image)
                sum += load(panel.deltas + image * panel.width + vector * kLanes);
            store(panel.bias_gradient + vector * kLanes, sum);
        }
        update(params, {panel.bias, panel.bias_slots}, panel.bias_gradient, panel.width);
    }

    void backward_and_update(int64_t step) const {
        const UpdateParams params = update_params_of(job, step);
        const auto scale = static_cast<float>(1 / (1 - job.dropout));
        float loss = 0;
        if (space.has_head) {
            add_partial_logits(step);
            loss = loss_of(own.logits, step);
            backward_through_head(params, scale);
        } else if (thread == 0) {
            const Panel& only = last().panels[0];
            std::memcpy(only.deltas, only.values, sizeof(float) * static_cast<size_t>(job.batch * kPaddedClasses));
            loss = loss_of(only.deltas, step);
        }
        if (thread == 0) job.losses.data[step] = loss;
        for (int number = space.layer_count - 2; number >= 0; --number) {
            wait_for_all();
            backward_into(number, scale);
        }
        if (space.layer_count > 1) wait_for_all();  // all have read the weights that now change
        update_by_pixels(step, params);
        for (int number = 0; number < space.layer_count; ++number)
            for_own_panels(space.layers[number], [&](const Panel& panel) {
                if (number > 0) update_by_units(number, panel, params);
                update_bias(panel, params);
            });
    }

    // With one hidden layer the threads share only the partial logits and, if they are many, the lists by pixel, and
    // there are two of each. With more layers they read each other's lists and weights, so that none may begin a step
    // while another is in its backward pass.
    void run() const {
        load_weights();
        wait_for_all();  // an epoch without steps must not store weights that another thread still loads
        for (int64_t step = 0; step < job.steps; ++step) {
            find_rows(own.by_image, *job.pixels, starts_of(step), job.batch);
            forward(step, true);
            list_share(step);
            wait_for_all();
            backward_and_update(step);
            if (space.layer_count > 1) wait_for_all();
        }
        store_weights();
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
