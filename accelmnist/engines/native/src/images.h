// Images as they lie in their set, a byte a pixel, and their pixels as floats.

#pragma once

#include "vector.h"
#include "workspace.h"

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

// Images of a step, one after the other, or those that are numbered.
struct Images {
    const uint8_t* first;
    const uint32_t* numbers;  // null: 0, 1, 2, ...

    ALWAYS_INLINE const uint8_t* operator[](int64_t index) const {
        return first + (numbers ? int64_t{numbers[index]} : index) * kPixels;
    }
};

INLINE Floats pixels_at(const uint8_t* from) {
#if defined(__AVX512F__)  // GCC 12 would convert one byte after the other
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return __builtin_convertvector((Ints)_mm512_maskz_cvtepu8_epi32(0xffff, bytes), Floats);
#elif defined(__AVX2__) && ACCELMNIST_VECTOR_BYTES == 32
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return __builtin_convertvector((Ints)_mm256_cvtepu8_epi32(bytes), Floats);
#else
    Floats pixels{};
    for (int lane = 0; lane < kLanes; ++lane) pixels[lane] = from[lane];
    return pixels;
#endif
}

// Writes a block's pixels of `count` images, from 0 to 1, as rows (kBlockPixels) of floats.
static void write_block(const Images& images, int block, int64_t count, float* rows) {
    static_assert(kBlockPixels % kLanes == 0, "whole vectors of pixels");
    for (int64_t image = 0; image < count; ++image) {
        const uint8_t* bytes = images[image] + block * kBlockPixels;
        for (int at = 0; at < kBlockPixels; at += kLanes)
            store(rows + image * kBlockPixels + at, pixels_at(bytes + at) * kPixelScale);
    }
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
