// A vector of floats as wide as the instruction set allows, and the nonlinearities on it.
//
// Written once, in the vector extensions of GCC and Clang, and compiled once for each instruction set: HIDDENSTATE_LANES
// floats a vector. Needs IEEE arithmetic (no -ffast-math): range reduction adds and takes away a large constant.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef HIDDENSTATE_LANES
#define HIDDENSTATE_LANES 4
#endif

namespace hiddenstate {
namespace {

constexpr int kLanes = HIDDENSTATE_LANES;

typedef float vf __attribute__((vector_size(HIDDENSTATE_LANES * 4)));
typedef std::int32_t vi __attribute__((vector_size(HIDDENSTATE_LANES * 4)));

inline vf splat(float x) { return x - vf{}; }

inline vf load(const float* p) {
    vf v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

inline void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

// The first n lanes; the others are zero, and what lies behind them in memory is not touched.
inline vf load(const float* p, std::int64_t n) {
    if (n >= kLanes) return load(p);
    vf v{};
    std::memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(float));
    return v;
}

inline void store(float* p, vf v, std::int64_t n) {
    if (n >= kLanes) return store(p, v);
    std::memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(float));
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

// e^x. x = n ln2 + r with |r| <= ln2 / 2; e^r by a polynomial of degree 6 (Cephes' expf), 2^n put into the exponent.
// Relative error below 1e-7; at 0 exactly 1. Outside [-87.3, 88.3] the value at the border is taken, which no sigmoid
// and no tanh in float can tell from the truth. NaN stays NaN.
inline vf exp(vf x) {
    const vf hi = splat(88.3f), lo = splat(-87.3f);
    x = x > hi ? hi : x;  // a NaN is neither, and stays
    x = x < lo ? lo : x;
    const vf magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number, in the low bits
    const vf shifted = x * splat(1.44269504088896341f) + magic;
    const vf n = shifted - magic;
    vf r = x - n * splat(0.693359375f);
    r = r + n * splat(2.12194440e-4f);
    vf p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = p * r * r + r + splat(1.0f);
    const vi exponent = (bits(shifted) - bits(magic) + 127) << 23;
    return p * from_bits(exponent);
}

inline vf sigmoid(vf x) { return splat(1.0f) / (splat(1.0f) + exp(-x)); }

// tanh x = 1 - 2 / (1 + e^2x) loses what is small against 1, so near 0 an odd polynomial (Cephes' tanhf) is taken.
inline vf tanh(vf x) {
    const vf magnitude = from_bits(bits(x) & 0x7fffffff);
    const vi sign = bits(x) & static_cast<std::int32_t>(0x80000000u);
    const vf far = splat(1.0f) - splat(2.0f) / (splat(1.0f) + exp(magnitude + magnitude));
    const vf z = x * x;
    vf p = splat(-5.70498872745e-3f);
    p = p * z + splat(2.06390887954e-2f);
    p = p * z - splat(5.37397155531e-2f);
    p = p * z + splat(1.33314422036e-1f);
    p = p * z - splat(3.33332819422e-1f);
    const vf near = p * z * x + x;
    return magnitude < splat(0.625f) ? near : from_bits(bits(far) | sign);
}

}  // namespace
}  // namespace hiddenstate
