// The kernels of one instruction level: the same sources, compiled for it. A level's file includes this after naming
// itself. Nothing from the standard library that generates code may be used below: the linker keeps one copy of such
// code, which could be the one for another processor.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "bf16_products.h"
#include "classify.h"
#include "engine.h"
#include "fp32_products.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

static void train_thread(const Workspace& space, Barrier* barrier, int thread) {
    const FlushDenormals flush_denormals;
    if (space.job->precision == Precision::fp32) return Trainer<Fp32Products>(space, barrier, thread).run();
    const TileUnit tile_unit;
    Trainer<Bf16Products>(space, barrier, thread).run();
}

static void load_weights(const Workspace& space) {
    if (space.job->precision == Precision::fp32) return Trainer<Fp32Products>(space, nullptr, 0).load_weights();
    Trainer<Bf16Products>(space, nullptr, 0).load_weights();
}

static void classify_images(const Workspace& space, float* logits) {
    const FlushDenormals flush_denormals;
    if (space.job->precision == Precision::fp32) return classify<Fp32Products>(space, logits);
    const TileUnit tile_unit;
    classify<Bf16Products>(space, logits);
}

extern const Kernels kKernels = {
    kLanes, ACCELMNIST_PANEL_FLOATS, write_records, train_thread, load_weights, classify_images,
};

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
