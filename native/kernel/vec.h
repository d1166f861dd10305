// A vector as wide as the instruction set allows, with sigmoid and tanh for it.
//
// Written once, with the vector extensions of GCC and Clang, and compiled for each instruction set (with vectors of HIDDENSTATE_BYTES) and
// precision. Requires IEEE arithmetic (no -ffast-math), because range reduction adds and subtracts a large constant.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernel/precision.h"

namespace hiddenstate {
namespace {

using element = HIDDENSTATE_PRECISION::element;
using real = HIDDENSTATE_PRECISION::real;
// An integer as wide as a real.
using whole = std::conditional_t<sizeof(real) == 4, std::int32_t, std::int64_t>;

constexpr int kLanes = HIDDENSTATE_BYTES / sizeof(real);

typedef real vf __attribute__((vector_size(HIDDENSTATE_BYTES)));
typedef whole vi __attribute__((vector_size(HIDDENSTATE_BYTES)));

inline vf splat(real x) { return x - vf{}; }

inline vf load(const real* p) {
    vf v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store(real* p, vf v) { std::memcpy(p, &v, sizeof v); }

#if defined(__AVX512F__)
// A mask with a bit for each of the first n lanes; n is at most kLanes.
inline std::uint16_t lanes_below(std::int64_t n) { return static_cast<std::uint16_t>((std::uint32_t{1} << n) - 1); }
#endif

// Loads or stores only the first n lanes; when loading, the others are zero. Memory past the n-th element is not accessed.
inline vf load(const real* p, std::int64_t n) {
    if (n >= kLanes) return load(p);
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return (vf)_mm512_maskz_loadu_ps(lanes_below(n), p);
#endif
    vf v{};
    std::memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(real));
    return v;
}

inline void store(real* p, vf v, std::int64_t n) {
    if (n >= kLanes) return store(p, v);
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return _mm512_mask_storeu_ps(p, lanes_below(n), (__m512)v);
#endif
    std::memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(real));
}

// Stores data that will not be read again soon: whole cache lines go to memory without being fetched first. The thread must call
// finish_stores() before another thread reads the data.
inline void store_past_cache(real* p, vf v, std::int64_t n) {
#if defined(__AVX512F__)
    if (n >= kLanes && reinterpret_cast<std::uintptr_t>(p) % sizeof v == 0) {
        return _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
    }
#endif
    store(p, v, n);
}

// Stores part of a record, bypassing the cache if `past_cache`: then nothing reads it soon, and it would evict useful data.
inline void store_record(real* p, vf v, std::int64_t n, bool past_cache) {
    if (past_cache) return store_past_cache(p, v, n);
    store(p, v, n);
}

inline void finish_stores() {
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}

inline vi bits(vf v) {
    vi i;
    std::memcpy(&i, &v, sizeof i);
    return i;
}

inline vf from_bits(vi i) {
    vf v;
    std::memcpy(&v, &i, sizeof v);
    return v;
}

// bfloat16 numbers are stored as such in memory, but are floats in registers.
typedef std::uint16_t halves __attribute__((vector_size(HIDDENSTATE_BYTES / 2)));
typedef std::uint32_t words __attribute__((vector_size(HIDDENSTATE_BYTES)));
typedef float floats __attribute__((vector_size(HIDDENSTATE_BYTES)));

// Rounds to the nearest value, ties to even. A NaN stays a NaN: its quiet bit is set, because the mantissa bits that make it a NaN may be
// cut off.
inline halves rounded(vf v) {
#ifdef __AVX512BF16__
    if constexpr (sizeof(real) == 4) return (halves)_mm512_cvtneps_pbh((__m512)v);
#endif
    words i;
    std::memcpy(&i, &v, sizeof i);
    const words up = i + 0x7fff + ((i >> 16) & 1);
    const auto nan = (i & 0x7fffffff) > 0x7f800000;
    return __builtin_convertvector((nan ? (i | 0x400000) : up) >> 16, halves);
}

inline void store(bfloat16* p, vf v, std::int64_t n) {
    const halves half = rounded(v);
    if (n >= kLanes) {
        std::memcpy(p, &half, sizeof half);
    } else {
        std::memcpy(p, &half, static_cast<std::size_t>(n) * sizeof(bfloat16));
    }
}

inline vf load(const bfloat16* p, std::int64_t n) {
    halves half{};
    std::memcpy(&half, p, n >= kLanes ? sizeof half : static_cast<std::size_t>(n) * sizeof(bfloat16));
    const words i = __builtin_convertvector(half, words) << 16;
    vf v;
    std::memcpy(&v, &i, sizeof v);
    return v;
}

// Widens float16 numbers to float32, which is exact; for no other precision.
inline vf load(const float16* p, std::int64_t n) {
    halves half{};
    std::memcpy(&half, p, n >= kLanes ? sizeof half : static_cast<std::size_t>(n) * sizeof(float16));
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return (vf)_mm512_cvtph_ps((__m256i)half);
#elif defined(__F16C__)
    if constexpr (sizeof(real) == 4) return (vf)_mm256_cvtph_ps((__m128i)half);
#elif defined(__aarch64__)
    if constexpr (sizeof(real) == 4) return (vf)vcvt_f32_f16((float16x4_t)half);
#endif
    // A float's exponent is greater by 112, and that of infinities and NaNs by 224. Numbers below the normal ones are multiples of 2^-24;
    // as bits of a float they would be flushed to zero in some modes.
    const words i = __builtin_convertvector(half, words), magnitude = i & 0x7fff, wide = magnitude << 13;
    const words normal = wide + (112u << 23), special = wide + (224u << 23);
    const floats tiny = __builtin_convertvector(magnitude, floats) * (1.0f / (1 << 24));
    words bits_of_tiny;
    std::memcpy(&bits_of_tiny, &tiny, sizeof bits_of_tiny);
    const words of_sign = (i & 0x8000) << 16;
    const words all = (magnitude < 0x400 ? bits_of_tiny : magnitude < 0x7c00 ? normal : special) | of_sign;
    vf v;
    std::memcpy(&v, &all, sizeof v);
    return v;
}

// Rounds to the nearest value, ties to even; only from float32.
inline void store(float16* p, vf v, std::int64_t n) {
    const auto narrowed = [v]() -> halves {
#if defined(__AVX512F__)
        if constexpr (sizeof(real) == 4) return (halves)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__F16C__)
        if constexpr (sizeof(real) == 4) return (halves)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__aarch64__)
        if constexpr (sizeof(real) == 4) return (halves)vcvt_f16_f32((float32x4_t)v);
#endif
        words i;
        std::memcpy(&i, &v, sizeof i);
        const words magnitude = i & 0x7fffffff;
        const words normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
        // Below the normal numbers, the last digit of a sum with 0.5 is 2^-24.
        floats small;
        std::memcpy(&small, &magnitude, sizeof small);
        small += 0.5f;
        words tiny;
        std::memcpy(&tiny, &small, sizeof tiny);
        const words least_infinite = words{} + 0x477ff000u, least_normal = words{} + 0x38800000u;
        const words finite = magnitude < least_normal ? tiny - 0x3f000000u : magnitude < least_infinite ? normal : words{} + 0x7c00u;
        const words all = magnitude > 0x7f800000u ? words{} + 0x7e00u : finite;
        return __builtin_convertvector(all | ((i & 0x80000000u) >> 16), halves);
    }();
    std::memcpy(p, &narrowed, n >= kLanes ? sizeof narrowed : static_cast<std::size_t>(n) * sizeof(float16));
}

// The minimum or maximum of a limit and x. A NaN in x is kept, because the instructions return their second operand in that case.
inline vf least(vf limit, vf x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return (vf)_mm512_min_ps((__m512)limit, (__m512)x);
#elif defined(__AVX2__)
    if constexpr (sizeof(real) == 4) return (vf)_mm256_min_ps((__m256)limit, (__m256)x);
#endif
    return limit < x ? limit : x;
}

inline vf greatest(vf limit, vf x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return (vf)_mm512_max_ps((__m512)limit, (__m512)x);
#elif defined(__AVX2__)
    if constexpr (sizeof(real) == 4) return (vf)_mm256_max_ps((__m256)limit, (__m256)x);
#endif
    return limit > x ? limit : x;
}

// a b + c, rounded only once if the instruction set has a fused multiply-add. Row sums use this function, because they must not depend on
// how many rows are summed at a time: left to itself, GCC fuses multiplications and additions in a loop over several sums but not over one,
// and in a sum of two products Clang may fuse either one.
inline vf fused(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    if constexpr (sizeof(real) == 4) return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    return (vf)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    if constexpr (sizeof(real) == 4) return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    return (vf)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    if constexpr (sizeof(real) == 4) return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
    return (vf)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

// e^x = 2^n (1 + p), with x = n ln2 + r and |r| <= ln2 / 2; a polynomial approximates p = e^r - 1.
struct Exponential {
    vf power, p;
};

// The constants of the reduction and the polynomial, for each type. The coefficients are those of r^2, r^3, ...
template <class Real>
struct Exp;

template <>
struct Exp<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which is in the low bits
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f, per_ln2 = 1.44269504088896341f;
    static constexpr float highest = 88.3f, lowest = -87.3f;
    static constexpr int bias = 127, mantissa = 23;
    // Cephes, expf
    static constexpr float coefficients[] = {5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f,
                                             8.3334519073e-3f, 1.3981999507e-3f, 1.9875691500e-4f};
};

template <>
struct Exp<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double ln2_high = 0.693145751953125, ln2_low = 1.42860682030941723212e-6,
                            per_ln2 = 1.4426950408889634074;
    static constexpr double highest = 709.0, lowest = -708.0;
    static constexpr int bias = 1023, mantissa = 52;
    // 1 / k! for k = 2 to 14; the first omitted term is less than 1e-19
    static constexpr double coefficients[] = {
        1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,        1.0 / 720,          1.0 / 5040,         1.0 / 40320,
        1.0 / 362880,  1.0 / 3628800,  1.0 / 39916800,  1.0 / 479001600,  1.0 / 6227020800.0, 1.0 / 87178291200.0};
};

// Whether there are enough registers for several exponentials at a time: SSE2 has only 16, and no blend instruction.
#if defined(__AVX2__) || defined(__aarch64__)
constexpr bool kSideBySide = true;
#else
constexpr bool kSideBySide = false;
#endif

// Computes the exponentials of N vectors at once, one operation at a time: each operation waits for the one before it, and the other
// vectors' operations fill the gaps. (Out-of-order execution alone would find only a few of them.) Inputs are clamped to `lowest` and
// `highest`, long after sigmoid and tanh have reached their limits. NaN stays NaN.
template <int N>
[[gnu::always_inline]] inline void exponentials(const vf (&of)[N], Exponential (&to)[N]) {
    using E = Exp<real>;
    constexpr int terms = sizeof E::coefficients / sizeof E::coefficients[0];
    if constexpr (N > 1 && !kSideBySide) {
        for (int k = 0; k < N; ++k) {
            const vf one[1] = {of[k]};
            exponentials(one, reinterpret_cast<Exponential(&)[1]>(to[k]));
        }
        return;
    }
    const vf highest = splat(E::highest), lowest = splat(E::lowest), magic = splat(E::magic);
    vf x[N], shifted[N], r[N], q[N];
    for (int k = 0; k < N; ++k) x[k] = least(highest, of[k]);
    for (int k = 0; k < N; ++k) x[k] = greatest(lowest, x[k]);
    // Rounds x / ln2 to an integer n, both as a float and in the low bits of `shifted`.
    for (int k = 0; k < N; ++k) shifted[k] = x[k] * splat(E::per_ln2) + magic;
    // Subtracts n ln2 in two parts: n * ln2_high is exact, so r loses no precision.
    for (int k = 0; k < N; ++k) r[k] = x[k] - (shifted[k] - magic) * splat(E::ln2_high);
    for (int k = 0; k < N; ++k) r[k] = r[k] - (shifted[k] - magic) * splat(E::ln2_low);
    for (int k = 0; k < N; ++k) q[k] = splat(E::coefficients[terms - 1]);
    for (int term = terms - 2; term >= 0; --term) {
        for (int k = 0; k < N; ++k) q[k] = q[k] * r[k] + splat(E::coefficients[term]);
    }
    for (int k = 0; k < N; ++k) {
        // Builds 2^n from its exponent bits.
        const vi power = (bits(shifted[k]) - bits(magic) + E::bias) << E::mantissa;
        to[k] = {from_bits(power), q[k] * (r[k] * r[k]) + r[k]};
    }
}

inline Exponential exponential(vf x) {
    const vf of[1] = {x};
    Exponential to[1];
    exponentials(of, to);
    return to[0];
}

// The sigmoid of x, from e^-x.
inline vf sigmoid_of(const Exponential& e) { return splat(1) / (splat(1) + (e.power + e.power * e.p)); }

inline vf sigmoid(vf x) { return sigmoid_of(exponential(-x)); }

// The tanh of x, from x and e^2x. 1 - 2 / (1 + e^2x) loses digits near 0, where the result is small compared with 1. There, float uses the
// odd polynomial x + x^3 p(x^2) of Cephes' tanhf, which keeps the function monotonic. double uses m / (m + 2) with m = e^2x - 1 everywhere:
// it needs no second polynomial, but may decrease by one unit in the last place.
inline vf tanh_of(vf x, const Exponential& e) {
    if constexpr (std::is_same_v<real, double>) {
        const vf m = e.power * e.p + (e.power - splat(1));
        return m / (m + splat(2));
    }
    const vf far = splat(1) - splat(2) / (splat(1) + (e.power + e.power * e.p));
    const vf z = x * x;
    vf p = splat(static_cast<real>(-5.70498872745e-3));
    p = p * z + splat(static_cast<real>(2.06390887954e-2));
    p = p * z - splat(static_cast<real>(5.37397155531e-2));
    p = p * z + splat(static_cast<real>(1.33314422036e-1));
    p = p * z - splat(static_cast<real>(3.33332819422e-1));
    const vf near = (p * z) * x + x;
    return z < splat(static_cast<real>(0.625 * 0.625)) ? near : far;
}

inline vf tanh(vf x) { return tanh_of(x, exponential(x + x)); }

// The sigmoid and tanh of N vectors, computed at once.
template <int N>
inline void tanh(const vf (&x)[N], vf (&to)[N]) {
    vf twice[N];
    Exponential e[N];
    for (int k = 0; k < N; ++k) twice[k] = x[k] + x[k];
    exponentials(twice, e);
    for (int k = 0; k < N; ++k) to[k] = tanh_of(x[k], e[k]);
}

}  // namespace
}  // namespace hiddenstate
