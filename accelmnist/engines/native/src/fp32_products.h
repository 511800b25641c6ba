// The products of a step in float32: of pixels, and of the units of hidden layers.
//
// A rectifier leaves anything from a quarter to three quarters of its activations, by the training and how far it is.
// Products of what is not zero alone, from lists, take time by its share; those of all run at the processor's full
// speed. So each panel is counted in every step, and is listed if that is faster.

#pragma once

#include "head.h"
#include "lists.h"
#include "pixel_products.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// The largest share of a panel's activations that is listed. On a Zen 5, both ways take as long for 784-512-512-10 at
// 55 % with AVX-512 and at 70 % with AVX2.
constexpr double kMostListed = kLanes == 16 ? 0.55 : 0.7;
// With fewer images all are listed: turning the weights for their gradients would take longer than the products.
constexpr int64_t kLeastMultiplied = 16;

struct Fp32Products : PixelProducts {
    using PixelProducts::PixelProducts;

    static bool is_listed(const Panel& panel) { return panel.is_listed && *panel.is_listed; }

    // Lists a panel's activations, the inputs of the next layer and factors of its gradients, if that is faster. To
    // classify they never are: an image's logits may not depend on the others.
    void keep_inputs(int, const Panel& panel, bool) const {
        if (!panel.is_listed) return;
        const double most = kMostListed * static_cast<double>(job.batch) * panel.units;
        *panel.is_listed = job.batch < kLeastMultiplied || static_cast<double>(count_values(panel, job.batch)) <= most;
        if (!*panel.is_listed) return;
        list_panel(panel, job.batch);
        transpose_and_list_panel(panel, job.batch, own.transposed);
    }

    void sum_units(int number, const Panel& panel) const {
        Start start{panel.bias, 0};
        for_input_panels(number, [&](const Panel& below) {
            const float* weights = rows_from(panel, below.first);
            if (is_listed(below))
                add_rows(
                    panel.vectors, weights, below.by_image, job.batch, start.step ? nullptr : start.at, panel.values
                );
            else
                multiply_into(
                    panel.values, {below.values, below.width, 1}, weights, below.units, job.batch, panel, start
                );
            start = {panel.values, panel.width};
        });
    }

    // The gradients at the sums of layer `number`, from those of the layer above and its weights, which all threads
    // own.
    void backward_into(int number, float scale) const {
        const LayerSpace& above = space.layers[number + 1];
        for_own_panels(space.layers[number], [&](const Panel& panel) {
            if (is_listed(panel)) return backward_into_listed(above, panel, scale);
            for (int other = 0; other < above.panel_count; ++other)
                add_gradients(above.panels[other], panel, other == 0, other + 1 == above.panel_count, scale);
        });
    }

    // Adds the part of a panel of the layer above; the last part also takes the gradients through the activation.
    void add_gradients(const Panel& source, const Panel& panel, bool is_first, bool is_last, float scale) const {
        constexpr int kSquare = 8;
        for (int unit = 0; unit < panel.width; unit += kSquare)
            for (int at = 0; at < source.width; at += kSquare)
                transpose_8x8(
                    rows_from(source, panel.first + unit) + at, source.width,
                    own.transposed + at * panel.width + unit, panel.width
                );
        multiply_rows(
            {source.deltas, source.width, 1}, {own.transposed, panel.width}, source.width, job.batch, panel.vectors,
            is_first ? Start{space.zeros, 0} : Start{panel.deltas, panel.width},
            [&](int64_t row, int vector, const auto& sums) {
                int64_t at = row * panel.width + vector * kLanes;
                if (!is_last) return store_all(panel.deltas + at, sums);
                for (const Floats& sum : sums) {
                    store(panel.deltas + at, through_activation(panel, at, sum, scale));
                    at += kLanes;
                }
            }
        );
    }

    void backward_into_listed(const LayerSpace& above, const Panel& panel, float scale) const {
        const Lists& lists = panel.by_image;
        const uint32_t end = lists.begins[job.batch - 1] + lists.counts[job.batch - 1];
        std::memset(panel.nonzero_grads, 0, sizeof(float) * end);
        for (int other = 0; other < above.panel_count; ++other) {
            const Panel& source = above.panels[other];
            const float* tile = rows_from(source, panel.first);
            dot_rows(source.vectors, tile, source.deltas, lists, job.batch, panel.nonzero_grads);
        }
        std::memset(panel.deltas, 0, sizeof(float) * static_cast<size_t>(job.batch * panel.width));
        for (int64_t image = 0; image < job.batch; ++image)
            for (uint32_t at = lists.begins[image]; at < lists.begins[image] + lists.counts[image]; ++at)
                panel.deltas[image * panel.width + lists.indices[at]] = panel.nonzero_grads[at] * scale;
    }

    void update_by_units(int number, const Panel& panel, const UpdateParams& params) const {
        for_input_panels(number, [&](const Panel& below) {
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                if (is_listed(below))
                    update_rows(
                        panel, chunk, below.first, below.units, of_chunk(below.by_unit, chunk, below.width), params
                    );
                else
                    multiply_and_update_rows(
                        panel, chunk, below.first, below.units,
                        {below.values + chunk * kChunk * below.width, 1, below.width}, params
                    );
            }
        });
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
