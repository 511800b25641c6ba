#include "layout.h"

namespace accelmnist {
namespace {

constexpr int64_t kLinePairs = kLine / sizeof(Pair);

int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }

// The least odd number of cache lines for `pairs`, in pairs: a column of such rows spreads over the whole first-level
// cache.
int64_t odd_lines(int64_t pairs) { return (ceil_div(pairs, kLinePairs) | 1) * kLinePairs; }

void allocate_lists(Arena& arena, Lists& lists, int64_t rows, int64_t width) {
    arena.take(lists.begins, rows);
    arena.take(lists.counts, rows);
    arena.take(lists.indices, rows * width + kSlack);
    arena.take(lists.values, rows * width + kSlack);
}

}  // namespace

void allocate_image_rows(Arena& arena, ImageRows& rows, int64_t images) {
    arena.take(rows.rows, images + kRowsPadding);
    arena.take(rows.counts, images);
}

void allocate_pixels(Arena& arena, ThreadSpace& space, int64_t images) {
    arena.take(space.bytes, images * kByteStride);
    arena.take(space.pixels, kChunk * kPixelStride);
}

void allocate_values(Arena& arena, Pair*& values, const LayerPairs& pairs, int64_t images) {
    arena.take(values, padded_images(images) * pairs.row);
}

int64_t padded_images(int64_t images) { return ceil_div(images, kImagePadding) * kImagePadding; }

LayerPairs pairs_of(const LayerSpace& layer) {
    LayerPairs pairs{};
    pairs.row = ceil_div(layer.units, 32) * 16;
    pairs.stride = odd_lines(pairs.row * 2);
    pairs.turned_stride = odd_lines(layer.inputs);
    return pairs;
}

std::vector<Panel> panels_of(int units, int threads, int lanes, int panel_floats) {
    std::vector<Panel> panels;
    const int64_t vectors = ceil_div(units, lanes), max_vectors = panel_floats / lanes;
    for (int64_t thread = 0; thread < threads; ++thread) {
        const int64_t from = vectors * thread / threads, until = vectors * (thread + 1) / threads;
        const int64_t pieces = ceil_div(until - from, max_vectors);
        for (int64_t piece = 0; piece < pieces; ++piece) {
            const int64_t start = from + (until - from) * piece / pieces;
            const int64_t stop = from + (until - from) * (piece + 1) / pieces;
            Panel panel{};
            panel.first = static_cast<int>(start * lanes);
            panel.vectors = static_cast<int>(stop - start);
            panel.width = panel.vectors * lanes;
            panel.units = units - panel.first < panel.width ? units - panel.first : panel.width;
            panel.owner = static_cast<int>(thread);
            panels.push_back(panel);
        }
    }
    return panels;
}

Layout::Layout(const Epoch& job, int lanes, int panel_floats) : workspace{}, batch_(job.batch) {
    const Network& network = job.network;
    workspace.job = &job;
    workspace.threads = job.threads;
    workspace.chunks = ceil_div(job.batch, kChunk);
    workspace.has_head = network.layer_count > 1;
    workspace.layer_count = workspace.has_head ? network.layer_count - 1 : 1;
    for (int number = 0; number < workspace.layer_count; ++number) {
        const Layer& layer = network.layers[number];
        const auto units = static_cast<int>(layer.units);
        // An output layer without hidden layers is a single panel, as wide as a row of logits.
        panels_.push_back(workspace.has_head ? panels_of(units, job.threads, lanes, panel_floats)
                                             : std::vector<Panel>(1, Panel{}));
        if (!workspace.has_head) {
            Panel& only = panels_.back().front();
            only.units = units;
            only.vectors = kPaddedClasses / lanes;
            only.width = kPaddedClasses;
        }
        const auto panels = static_cast<int>(panels_.back().size());
        layers_.push_back({static_cast<int>(layer.inputs), units, panels, nullptr, {}});
        layers_.back().pairs = pairs_of(layers_.back());
    }
    spaces_.resize(static_cast<size_t>(job.threads));
    if (workspace.shares_lists() && job.lists_pixels())
        for (auto& lists : by_pixel_) lists.resize(static_cast<size_t>(kPixelBlocks * workspace.chunks));
    memory_ = allocate_in_one([&](Arena& arena) { allocate(arena); });
    for (size_t number = 0; number < layers_.size(); ++number) layers_[number].panels = panels_[number].data();
    workspace.layers = layers_.data();
    workspace.spaces = spaces_.data();
    for (int buffer = 0; buffer < kBuffers; ++buffer) workspace.by_pixel[buffer] = by_pixel_[buffer].data();
}

const char* Layout::copy_indexes() {
    const Epoch& job = *workspace.job;
    // Each element is read once: another thread might change it between the check and the copy.
    std::vector<uint8_t> labels(static_cast<size_t>(job.labels.size));
    for (int64_t image = 0; image < job.labels.size; ++image) {
        const auto label = static_cast<uint64_t>(__atomic_load_n(&job.labels.data[image], __ATOMIC_RELAXED));
        if (label >= kClasses) return "a label is not 0 to 9";
        labels[static_cast<size_t>(image)] = static_cast<uint8_t>(label);
    }
    for (int64_t index = 0; index < job.order.size; ++index) {
        const auto image = static_cast<uint64_t>(__atomic_load_n(&job.order.data[index], __ATOMIC_RELAXED));
        if (image >= labels.size()) return "the order names an image that is not there";
        workspace.starts[index] = job.lists_pixels() ? job.pixels->starts[image] : static_cast<uint32_t>(image);
        workspace.labels[index] = labels[image];
    }
    return nullptr;
}

void Layout::allocate_rows(Arena& arena, PixelRows& rows) {
    arena.take(rows.elements, kBlockPixels * kRowStride);
    arena.take(rows.ends, kBlockPixels);
}

void Layout::allocate(Arena& arena) {
    for (size_t number = 0; number < layers_.size(); ++number) {
        const bool is_last = number + 1 == layers_.size();
        for (Panel& panel : panels_[number]) allocate_panel(arena, panel, layers_[number], is_last);
        if (is_bf16()) allocate_pairs(arena, layers_[number], number == 0, is_last);
    }
    for (ThreadSpace& space : spaces_) allocate_thread(arena, space);
    for (auto& lists : by_pixel_)
        for (PixelRows& rows : lists) allocate_rows(arena, rows);
    arena.take(workspace.zeros, kPanelFloats);
    arena.take(workspace.starts, workspace.job->order.size);
    arena.take(workspace.labels, workspace.job->order.size);
}

void Layout::allocate_panel(Arena& arena, Panel& panel, const LayerSpace& layer, bool is_last) {
    const int slots = slots_of(workspace.job->rule);
    const int64_t width = panel.width, weights = layer.inputs * width;
    const int64_t values = (is_bf16() ? padded_images(batch_) : batch_) * width;
    arena.take(panel.weight, ceil_div(layer.inputs, kInputPadding) * kInputPadding * width);
    arena.take(panel.gradient, kBlockInputs * width);
    arena.take(panel.bias, width);
    arena.take(panel.bias_gradient, width);
    for (int slot = 0; slot < slots; ++slot) {
        arena.take(panel.slots[slot], weights);
        arena.take(panel.bias_slots[slot], width);
    }
    arena.take(panel.values, values);
    arena.take(panel.deltas, values);
    if (workspace.has_head && workspace.job->network.activation != Activation::relu)
        arena.take(panel.activation_grads, values);
    if (is_bf16()) {
        arena.take(panel.pair_weights, ceil_div(layer.inputs, kBlockInputs) * kPairsAtOnce * width);
        arena.take(panel.pair_deltas, workspace.chunks * kPairsAtOnce * width);
    } else if (!is_last && workspace.job->network.activation == Activation::relu) {
        arena.take(panel.is_listed, 1);
        allocate_lists(arena, panel.by_image, batch_, panel.width);
        allocate_lists(arena, panel.by_unit, workspace.chunks * panel.width, kChunk);
        arena.take(panel.nonzero_grads, values);
    }
    if (is_last && workspace.has_head) {
        arena.take(panel.head, kClasses * width);
        arena.take(panel.head_transposed, width * kPaddedClasses);
        arena.take(panel.head_gradient, kClasses * width);
        for (int slot = 0; slot < slots; ++slot) arena.take(panel.head_slots[slot], kClasses * width);
    }
}

void Layout::allocate_pairs(Arena& arena, LayerSpace& layer, bool is_first, bool is_last) {
    LayerPairs& pairs = layer.pairs;
    if (!is_last) {
        allocate_values(arena, pairs.values, pairs, batch_);
        arena.take(pairs.values_by_images, workspace.chunks * kPairsAtOnce * pairs.stride);
    }
    if (is_first || batch_ == 0) return;
    allocate_values(arena, pairs.deltas, pairs, batch_);
    arena.take(pairs.turned, pairs.row * pairs.turned_stride);
}

void Layout::allocate_thread(Arena& arena, ThreadSpace& space) {
    for (float*& partial : space.partial) arena.take(partial, batch_ * kPaddedClasses);
    arena.take(space.logits, batch_ * kPaddedClasses);
    arena.take(space.bias, kPaddedClasses);
    arena.take(space.bias_gradient, kPaddedClasses);
    if (is_bf16()) {
        allocate_pixels(arena, space, batch_);
        arena.take(space.block, kPairsAtOnce * kPairStride);
        arena.take(space.turned, kBlockInputs * kPairsAtOnce);
    } else {
        arena.take(space.transposed, kPanelFloats * kChunk);
        if (workspace.job->lists_pixels()) {
            for (ImageRows& rows : space.by_image) allocate_image_rows(arena, rows, batch_);
            if (!workspace.shares_lists()) allocate_rows(arena, space.by_pixel);
        } else {
            arena.take(space.block_pixels, kChunk * kBlockPixels);
        }
    }
    for (int slot = 0; slot < slots_of(workspace.job->rule); ++slot) arena.take(space.bias_slots[slot], kPaddedClasses);
}

}  // namespace accelmnist
