// An epoch, as one thread of the team runs it.
//
// Every thread owns some panels of each layer for the whole epoch: it computes their activations, their part of the
// logits, their gradients and their updates, so weights never move between cores. With one hidden layer the threads
// synchronize once a step, to add the parts of the logits; each then computes the loss of the whole batch itself, which
// is cheaper than another barrier. Every further hidden layer adds one barrier forward and one backward.
//
// `Products` are the matrix products and what they need: Fp32Products in float32, Bf16Products in bf16. All else is
// float32 in both.

#pragma once

#include "activation.h"
#include "head.h"
#include "member.h"
#include "team.h"
#include "transpose.h"
#include "update.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

template <class Products>
struct Trainer {
    const Products products;
    const Member& me;
    const Workspace& space;
    const Epoch& job;
    const ThreadSpace& own;
    Barrier* const barrier;  // null if there is one thread

    Trainer(const Workspace& space, Barrier* barrier, int thread)
        : products(space, thread), me(products), space(space), job(me.job), own(me.own), barrier(barrier) {}

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
            me.for_own_panels(space.layers[number], [&](const Panel& panel) {
                move_panel<Move>(panel, layers[number]);
            });
        if (!space.has_head) return;
        const Layer& output = layers[job.network.layer_count - 1];
        me.for_own_panels(me.last(), [&](const Panel& panel) { move_head<Move>(panel, output); });
        if (head_bias_too) move_head_bias<Move>(output);
    }

    void load_weights() const {
        move_own<Load>(true);
        if (space.has_head) me.for_own_panels(me.last(), [](const Panel& panel) { transpose_head(panel); });
        for (int number = 0; number < space.layer_count; ++number)
            me.for_own_panels(space.layers[number], [&](const Panel& panel) { products.keep_weights(number, panel); });
    }

    // Only the first thread stores the output's biases, of which all threads have equal copies.
    void store_weights() const { move_own<Store>(me.thread == 0); }

    // --- a step

    // The own panels' part of the logits. Training adds dropout, and keeps the activations for the gradients.
    void forward(int64_t step, bool is_training) const {
        for (int number = 0; number < space.layer_count; ++number) {
            const Dropout dropout =
                is_training ? dropout_of(job.dropout, job.seeds.data[step], number, job.first) : Dropout{};
            if (number == 0) products.sum_pixels(step);
            me.for_own_panels(space.layers[number], [&](const Panel& panel) {
                if (number > 0) products.sum_units(number, panel);
                if (!space.has_head) return;
                activate(job.network.activation, panel, job.batch, space.layers[number].units, dropout);
                if (!me.is_last(number)) products.keep_inputs(number, panel, is_training);
            });
            if (!me.is_last(number)) wait_for_all();
        }
        if (!space.has_head) return;
        float* partial = own.partial[step % 2];
        std::memset(partial, 0, sizeof(float) * static_cast<size_t>(job.batch * kPaddedClasses));
        me.for_own_panels(me.last(), [&](const Panel& panel) { add_logits(panel, job.batch, partial); });
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
        me.for_own_panels(me.last(), [&](const Panel& panel) {
            backward_from_head(panel, job.batch, own.logits, scale);
            update_head(panel, job.batch, own.logits, params);
        });
        update_head_bias(params);
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

    void keep_deltas(int number) const {
        me.for_own_panels(space.layers[number], [&](const Panel& panel) { products.keep_deltas(number, panel); });
    }

    void backward_and_update(int64_t step) const {
        const UpdateParams params = update_params_of(job, step);
        const auto scale = static_cast<float>(1 / (1 - job.dropout));
        float loss = 0;
        if (space.has_head) {
            add_partial_logits(step);
            loss = loss_of(own.logits, step);
            backward_through_head(params, scale);
        } else if (me.thread == 0) {
            const Panel& only = me.last().panels[0];
            std::memcpy(only.deltas, only.values, sizeof(float) * static_cast<size_t>(job.batch * kPaddedClasses));
            loss = loss_of(only.deltas, step);
        }
        if (me.thread == 0) job.losses.data[step] = loss;
        keep_deltas(space.layer_count - 1);
        for (int number = space.layer_count - 2; number >= 0; --number) {
            wait_for_all();
            products.backward_into(number, scale);
            keep_deltas(number);
        }
        if (space.layer_count > 1) wait_for_all();  // all have read the weights that now change
        products.update_by_pixels(step, params);
        for (int number = 0; number < space.layer_count; ++number)
            me.for_own_panels(space.layers[number], [&](const Panel& panel) {
                if (number > 0) products.update_by_units(number, panel, params);
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
            products.begin_step(step);
            forward(step, true);
            products.share(step);
            wait_for_all();
            backward_and_update(step);
            if (space.layer_count > 1) wait_for_all();
        }
        store_weights();
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
