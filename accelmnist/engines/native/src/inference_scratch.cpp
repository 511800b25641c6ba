#include "inference_scratch.h"

#include "layout.h"

namespace accelmnist {

InferenceScratch::InferenceScratch(const Workspace& weights, int64_t images)
    : pixels_(images), job_(*weights.job), workspace_(weights) {
    job_.pixels = &pixels_.set;
    for (int number = 0; number < weights.layer_count; ++number) add_layer(weights.layers[number]);
    for (size_t number = 0; number < layers_.size(); ++number) layers_[number].panels = panels_[number].data();
    space_.bias = weights.spaces[0].bias;
    workspace_.job = &job_;
    workspace_.layers = layers_.data();
    workspace_.spaces = &space_;
    memory_ = allocate_in_one([&](Arena& arena) { allocate(arena, images); });
}

const Workspace& InferenceScratch::for_images(int64_t images) {
    job_.batch = images;
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
        panel.bias = from.bias;
        panel.head_transposed = from.head_transposed;
        panels_.back().push_back(panel);
    }
}

void InferenceScratch::allocate(Arena& arena, int64_t images) {
    for (auto& panels : panels_)
        for (Panel& panel : panels) allocate_panel(arena, panel, images, &panels == &panels_.back());
    arena.take(space_.partial[0], images * kPaddedClasses);
    arena.take(space_.logits, images * kPaddedClasses);
    for (ImageRows& rows : space_.by_image) allocate_image_rows(arena, rows, images);
}

void InferenceScratch::allocate_panel(Arena& arena, Panel& panel, int64_t images, bool is_last) {
    arena.take(panel.values, images * panel.width);
    if (!is_last) allocate_lists(arena, panel.by_image, images, panel.width);
}

}  // namespace accelmnist
