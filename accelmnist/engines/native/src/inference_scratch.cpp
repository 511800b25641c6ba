#include "inference_scratch.h"

#include "layout.h"

namespace accelmnist {

InferenceScratch::InferenceScratch(const Workspace& weights, int64_t images)
    : pixels_(weights.job->precision == Precision::fp32 ? images : 0), job_(*weights.job), workspace_(weights) {
    job_.pixels = &pixels_.set;
    for (int number = 0; number < weights.layer_count; ++number) add_layer(weights.layers[number]);
    for (size_t number = 0; number < layers_.size(); ++number) layers_[number].panels = panels_[number].data();
    space_.bias = weights.spaces[0].bias;
    workspace_.job = &job_;
    workspace_.starts = nullptr;
    workspace_.layers = layers_.data();
    workspace_.spaces = &space_;
    memory_ = allocate_in_one([&](Arena& arena) { allocate(arena, images); });
}

const Workspace& InferenceScratch::for_images(const uint8_t* images, int64_t count) {
    job_.images = {images, count * kPixels};
    job_.batch = count;
    workspace_.chunks = (count + kChunk - 1) / kChunk;
    return workspace_;
}

void InferenceScratch::add_layer(const LayerSpace& layer) {
    layers_.push_back(layer);
    panels_.emplace_back();
    for (int number = 0; number < layer.panel_count; ++number) {
        const Panel& from = layer.panels[number];
        Panel panel{};
        panel.first = from.first;
        panel.units = from.units;
        panel.vectors = from.vectors;
        panel.width = from.width;
        panel.weight = from.weight;
        panel.pair_weights = from.pair_weights;
        panel.bias = from.bias;
        panel.head_transposed = from.head_transposed;
        panels_.back().push_back(panel);
    }
}

void InferenceScratch::allocate(Arena& arena, int64_t images) {
    for (size_t number = 0; number < layers_.size(); ++number) {
        for (Panel& panel : panels_[number]) arena.take(panel.values, padded_images(images) * panel.width);
        if (is_bf16() && number + 1 < layers_.size()) allocate_values(arena, layers_[number].pairs.values, layers_[number].pairs, images);
    }
    arena.take(space_.partial[0], images * kPaddedClasses);
    arena.take(space_.logits, images * kPaddedClasses);
    if (is_bf16()) allocate_pixels(arena, space_, images);
    for (ImageRows& rows : space_.by_image)
        if (!is_bf16()) allocate_image_rows(arena, rows, images);
}

}  // namespace accelmnist
