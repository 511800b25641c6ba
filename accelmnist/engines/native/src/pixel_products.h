// The products of the first layer in float32: of the pixels that are not black, which come as lists, or of all.

#pragma once

#include "dense_products.h"
#include "pixel_lists.h"
#include "rows.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

struct PixelProducts : DenseProducts {
    using DenseProducts::DenseProducts;

    const uint32_t* starts_of(int64_t step) const { return space.starts + step * job.batch; }

    void begin_step(int64_t step) const {
        if (job.lists_pixels()) find_rows(own.by_image, *job.pixels, starts_of(step), job.batch);
    }

    void take_images() const {
        write_records(job.images.data, 0, job.batch, *job.pixels);
        find_rows(own.by_image, *job.pixels, job.pixels->starts, job.batch);
    }

    void keep_weights(int, const Panel&) const {}
    void keep_deltas(int, const Panel&) const {}

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

    // Sums each own panel of the first layer.
    void sum_pixels(int64_t step) const { job.lists_pixels() ? sum_listed_pixels(step) : sum_all_pixels(step); }

    void sum_all_pixels(int64_t step) const {
        for (int64_t chunk = 0; chunk < space.chunks; ++chunk)
            for (int block = 0; block < kPixelBlocks; ++block) {
                const LeftOf<float> pixels{take_block(step, chunk, block), kBlockPixels, 1};
                prefetch_images(step, chunk, block, kPixelBlocks);
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    float* values = panel.values + chunk * kChunk * panel.width;
                    const Start start = block == 0 ? Start{panel.bias, 0} : Start{values, panel.width};
                    const float* weights = rows_from(panel, block * kBlockPixels);
                    multiply_into(values, pixels, weights, kBlockPixels, images_in(chunk), panel, start);
                });
            }
    }

    // Writes a block of a chunk's pixels as floats: rows (kBlockPixels), one an image.
    const float* take_block(int64_t step, int64_t chunk, int block) const {
        write_block(images_of(step, chunk * kChunk), block, images_in(chunk), own.block_pixels);
        return own.block_pixels;
    }

    void sum_listed_pixels(int64_t step) const {
        bool prefetches = true;  // once, with the first panel
        for_own_panels(space.layers[0], [&](const Panel& panel) {
            for (int number = 0; number < kPixelBlocks; ++number) {
                const float* start = number == 0 ? panel.bias : nullptr;
                const float* tile = rows_from(panel, number * kBlockPixels);
                add_rows(panel.vectors, tile, own.by_image[number], job.batch, start, panel.values);
                if (prefetches) prefetch_step(step + 1, number);
            }
            prefetches = false;
        });
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
        list_by_pixel(rows, own.by_image[number], chunk * kChunk, images_in(chunk));
    }

    const PixelRows& shared_rows(int64_t step, int number, int64_t chunk) const {
        return space.by_pixel[step % kBuffers][number * space.chunks + chunk];
    }

    // This thread's share of the lists by pixel: one of every `threads` blocks of the chunks.
    void share(int64_t step) const {
        if (!space.shares_lists() || !job.lists_pixels()) return;
        int64_t block = 0;
        for (int64_t chunk = 0; chunk < space.chunks; ++chunk)
            for (int number = 0; number < kPixelBlocks; ++number)
                if (block++ % space.threads == thread) list_block(shared_rows(step, number, chunk), number, chunk);
    }

    // Updates the first layer's weights.
    void update_by_pixels(int64_t step, const UpdateParams& params) const {
        job.lists_pixels() ? update_by_listed_pixels(step, params) : update_by_all_pixels(step, params);
    }

    void update_by_all_pixels(int64_t step, const UpdateParams& params) const {
        for (int block = 0; block < kPixelBlocks; ++block)
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const LeftOf<float> pixels{take_block(step, chunk, block), 1, kBlockPixels};
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    multiply_and_update_rows(panel, chunk, block * kBlockPixels, kBlockPixels, pixels, params);
                });
            }
    }

    // A thread that lists alone lists a block of a chunk once, for all own panels.
    void update_by_listed_pixels(int64_t step, const UpdateParams& params) const {
        for (int number = 0; number < kPixelBlocks; ++number)
            for (int64_t chunk = 0; chunk < space.chunks; ++chunk) {
                const PixelRows& rows = space.shares_lists() ? shared_rows(step, number, chunk) : own.by_pixel;
                if (!space.shares_lists()) list_block(rows, number, chunk);
                for_own_panels(space.layers[0], [&](const Panel& panel) {
                    update_rows(panel, chunk, number * kBlockPixels, kBlockPixels, rows, params);
                });
            }
    }
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
