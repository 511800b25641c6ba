#include "job.h"

#include <cmath>

#include "pixels.h"

namespace accelmnist {
namespace {

bool is_fraction(double value) { return value >= 0 && value < 1; }  // false for NaN

const char* network_problem(const Network& network, int slots) {
    if (network.layer_count < 1 || network.layer_count > kMaxLayers) return "the number of layers is out of range";
    if (network.activation < Activation::relu || network.activation >= Activation::count) return "unknown activation";
    int64_t inputs = kPixels;
    for (int number = 0; number < network.layer_count; ++number) {
        const Layer& layer = network.layers[number];
        if (layer.units < 1 || layer.units > kMaxUnits) return "a layer's number of units is out of range";
        if (layer.inputs != inputs) return "a layer's inputs are not the units of the layer before";
        const int64_t weights = layer.inputs * layer.units;
        if (layer.weight.size != weights) return "a weight's size is not units times inputs";
        if (layer.bias.size != layer.units) return "a bias's size is not the number of units";
        if (!layer.weight.data || !layer.bias.data) return "a parameter is missing";
        for (int slot = 0; slot < slots; ++slot) {
            if (!layer.weight_slots[slot].data || !layer.bias_slots[slot].data) return "a slot is missing";
            if (layer.weight_slots[slot].size != weights) return "a weight's slot has another size";
            if (layer.bias_slots[slot].size != layer.units) return "a bias's slot has another size";
        }
        inputs = layer.units;
    }
    return inputs == kClasses ? nullptr : "the last layer has not ten units";
}

const char* rule_problem(const Epoch& job) {
    if (job.output < Output::softmax || job.output >= Output::count) return "unknown output";
    if (job.rule < Rule::sgd || job.rule >= Rule::count) return "unknown optimizer";
    if (!is_fraction(job.momentum)) return "momentum is not a fraction";
    if (!is_fraction(job.label_smoothing)) return "label smoothing is not a fraction";
    if (!is_fraction(job.dropout)) return "dropout is not a fraction";
    if (!is_fraction(job.beta1) || !is_fraction(job.beta2)) return "a beta is not a fraction";
    if (!(job.epsilon >= 0) || !std::isfinite(job.epsilon)) return "epsilon is not 0 or more";
    if (!(job.weight_decay >= 0) || !std::isfinite(job.weight_decay)) return "weight decay is not 0 or more";
    if (job.first < 0 || job.first > kMaxBatch) return "the first row is out of range";
    if (!(job.count >= 0) || !std::isfinite(job.count)) return "the count of updates is not 0 or more";
    return nullptr;
}

// How many images the epoch has to choose from.
int64_t images_of(const Epoch& job) {
    if (job.lists_pixels()) return job.pixels->images;
    return job.images.data && job.images.size % kPixels == 0 ? job.images.size / kPixels : 0;
}

const char* size_problem(const Epoch& job) {
    const int64_t images = job.labels.size;
    if (job.batch < 1 || job.batch > kMaxBatch) return "the batch's size is out of range";
    if (images > UINT32_MAX) return "there are too many images";
    if (job.steps < 0 || job.steps > (int64_t{1} << 40) / job.batch) return "the number of steps is out of range";
    if (images < 1 || images_of(job) != images) return "images and labels don't match";
    if (job.order.size != job.steps * job.batch) return "the order is not steps times batch";
    if (job.rates.size != job.steps) return "there is not one learning rate a step";
    if (job.seeds.size != job.steps) return "there is not one dropout seed a step";
    if (job.losses.size != job.steps) return "there is not one loss a step";
    return nullptr;
}

}  // namespace

const char* problem_of(const Epoch& job) {
    if (job.threads < 1 || job.threads > kMaxThreads) return "the number of threads is out of range";
    if (job.precision < Precision::fp32 || job.precision >= Precision::count) return "unknown precision";
    if (const char* problem = rule_problem(job)) return problem;
    if (const char* problem = network_problem(job.network, slots_of(job.rule))) return problem;
    return size_problem(job);
}

const char* problem_of(const Listing& job) {
    if (job.threads < 1 || job.threads > kMaxThreads) return "the number of threads is out of range";
    if (job.images.size % kPixels) return "an image has not 784 pixels";
    return job.images.size / kPixels > kMaxPixelImages ? "there are too many images" : nullptr;
}

const char* problem_of(const Model& model) {
    if (model.threads < 1 || model.threads > kMaxThreads) return "the number of threads is out of range";
    return network_problem(model.network, 0);
}

const char* problem_of(const Classification& job) {
    if (job.images.size % kPixels || job.images.size / kPixels > UINT32_MAX) return "an image has not 784 pixels";
    return job.logits.size == job.images.size / kPixels * kClasses ? nullptr : "there are not ten logits an image";
}

}  // namespace accelmnist
