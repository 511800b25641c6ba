// Vectors of floats of the level's width, and the functions of them that a network needs.
//
// One source serves every level: GCC's and Clang's vector extensions, ACCELMNIST_VECTOR_BYTES wide. A NaN stays a NaN
// throughout, since a training that diverges must show it.
//
// The polynomials are weighted minimax fits (Lawson's iteration over Chebyshev points), the error in units of the
// result below 1e-8 before rounding to float.

#pragma once

#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define INLINE static ALWAYS_INLINE

namespace accelmnist {
namespace ACCELMNIST_LEVEL {

constexpr int kLanes = ACCELMNIST_VECTOR_BYTES / 4;

typedef float Floats __attribute__((vector_size(ACCELMNIST_VECTOR_BYTES)));
typedef int32_t Ints __attribute__((vector_size(ACCELMNIST_VECTOR_BYTES)));
typedef uint32_t Unsigned __attribute__((vector_size(ACCELMNIST_VECTOR_BYTES)));

// Flushes denormals (numbers below 1e-38) to zero in this thread while it lives. The averages of pixels that are black
// for a thousand steps fall that low, and a processor computes many times as slowly with them.
class FlushDenormals {
public:
    FlushDenormals() : before_(control()) { set_control(before_ | kFlush); }
    ~FlushDenormals() { set_control(before_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
#if defined(__SSE2__)
    using Control = unsigned;
    static constexpr Control kFlush = 0x8040;  // results and operands
    static Control control() { return _mm_getcsr(); }
    static void set_control(Control value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
    using Control = uint64_t;
    static constexpr Control kFlush = uint64_t{1} << 24;
    static Control control() {
        Control value;
        asm volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void set_control(Control value) { asm volatile("msr fpcr, %0" : : "r"(value)); }
#else
    using Control = unsigned;
    static constexpr Control kFlush = 0;
    static Control control() { return 0; }
    static void set_control(Control) {}
#endif
    const Control before_;
};

INLINE Floats load(const float* from) {
    Floats value;
    std::memcpy(&value, __builtin_assume_aligned(from, sizeof value), sizeof value);
    return value;
}

INLINE void store(float* to, Floats value) {
    std::memcpy(__builtin_assume_aligned(to, sizeof value), &value, sizeof value);
}

INLINE Floats broadcast(float value) { return value - Floats{}; }  // a minus keeps a negative zero

INLINE Ints bits_of(Floats value) { return reinterpret_cast<Ints>(value); }
INLINE Floats of_bits(Ints bits) { return reinterpret_cast<Floats>(bits); }

INLINE Floats abs(Floats value) { return of_bits(bits_of(value) & 0x7fffffff); }
INLINE Floats with_sign_of(Floats value, Floats sign) {
    return of_bits(bits_of(value) | (bits_of(sign) & static_cast<int32_t>(0x80000000)));
}

INLINE Floats sqrt(Floats value) {
    for (int lane = 0; lane < kLanes; ++lane) value[lane] = __builtin_sqrtf(value[lane]);
    return value;
}

INLINE float sum_of(Floats value) {
    float sum = 0;
    for (int lane = 0; lane < kLanes; ++lane) sum += value[lane];
    return sum;
}

// Lanes 0, 1, 2, ...
INLINE Ints lane_numbers() {
    Ints numbers{};
    for (int lane = 0; lane < kLanes; ++lane) numbers[lane] = lane;
    return numbers;
}

INLINE Floats exp(Floats x) {
    constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
    x = x > 88.0f ? broadcast(88.0f) : x;
    const Ints vanishes = x < -87.0f;
    x = vanishes ? broadcast(-87.0f) : x;
    const Floats rounded = x * 1.44269504f + kRounder;
    const Floats whole = rounded - kRounder;
    const Floats rest = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    Floats sum = rest * 1.39504892e-3f + 8.3688898e-3f;
    sum = sum * rest + 4.1666206e-2f;
    sum = sum * rest + 1.66665182e-1f;
    sum = sum * rest + 0.5f;
    sum = (sum * rest) * rest + rest + 1.0f;
    const Ints power = (bits_of(rounded) - bits_of(broadcast(kRounder)) + 127) << 23;
    const Floats result = sum * of_bits(power);
    return vanishes ? Floats{} : result;
}

// For normal numbers above 0.
INLINE Floats log(Floats x) {
    const Ints shifted = bits_of(x) - 0x3f3504f3;  // the bits of sqrt(1/2), so that the mantissa is around 1
    const Ints exponent = shifted >> 23;
    const Floats rest = of_bits(bits_of(x) - (exponent << 23)) - 1.0f;
    Floats sum = rest * -7.63442963e-2f + 1.27615497e-1f;
    sum = sum * rest - 1.31601945e-1f;
    sum = sum * rest + 1.42017618e-1f;
    sum = sum * rest - 1.66233569e-1f;
    sum = sum * rest + 2.00012267e-1f;
    sum = sum * rest - 2.50008225e-1f;
    sum = sum * rest + 3.33333313e-1f;
    const Floats square = rest * rest;
    const Floats whole = __builtin_convertvector(exponent, Floats);
    const Floats result = rest - (square * 0.5f - square * rest * sum) + whole * 0.693147181f;
    return x == x ? result : x;
}

// log(1 + x) for x from 0 to 1, as exact for a small x as for a large one (Kahan's correction of the rounded sum).
INLINE Floats log1p(Floats x) {
    const Floats sum = x + 1.0f, added = sum - 1.0f;
    const Ints is_lost = added == 0.0f;
    const Floats corrected = log(sum) * (x / (is_lost ? broadcast(1.0f) : added));
    return is_lost ? x : corrected;
}

INLINE Floats sigmoid(Floats x) { return 1.0f / (exp(-x) + 1.0f); }

INLINE Floats tanh(Floats x) {
    const Floats size = abs(x), square = x * x;
    Floats sum = square * -5.71703678e-3f + 2.06505787e-2f;
    sum = sum * square - 5.37434965e-2f;
    sum = sum * square + 1.33314908e-1f;
    sum = sum * square - 3.33332837e-1f;
    const Floats small = x + x * square * sum;
    const Floats large = with_sign_of(1.0f - 2.0f / (exp(size * 2.0f) + 1.0f), x);
    return size < 0.625f ? small : large;
}

// The normal distribution's cumulative function: (1 + erf(x / sqrt(2))) / 2.
INLINE Floats normal_cdf(Floats x) {
    const Floats scaled = abs(x) * 0.707106781f, square = scaled * scaled;
    Floats near = square * 7.8891193e-5f - 8.02084105e-4f;
    near = near * square + 5.18953521e-3f;
    near = near * square - 2.68544443e-2f;
    near = near * square + 1.12836003e-1f;
    near = near * square - 3.7612626e-1f;
    near = (near * square + 1.12837911f) * scaled;
    const Floats nearness = 1.0f / (scaled * 0.5f + 1.0f);
    Floats far = nearness * 6.65240502e-3f - 2.54086614e-1f;
    far = far * nearness + 6.70546293e-1f;
    far = far * nearness - 9.06561092e-2f;
    far = far * nearness + 4.081662e-1f;
    far = far * nearness + 2.57079244e-1f;
    far = far * nearness + 2.07364489e-3f;
    const Floats tail = far * exp(-square) * 0.5f;  // of the side away from zero
    const Floats side = scaled < 1.0f ? 0.5f - near * 0.5f : tail;
    return x < 0.0f ? side : 1.0f - side;
}

}  // namespace ACCELMNIST_LEVEL
}  // namespace accelmnist
