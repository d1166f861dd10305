// Checks the scans' sigmoid and tanh over the whole range of floats: close to the truth, never decreasing, and exact at special
// values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "numbers.h"
#include "kernel/scan.h"

namespace hiddenstate::test {

// The allowed error, and the allowed decrease between neighbours (vec.h says why tanh of doubles may decrease).
template <class Real>
constexpr double kOff = 2e-7;
template <>
constexpr double kOff<double> = 4e-16;
template <class Real>
constexpr double kFall = 0;
template <>
constexpr double kFall<double> = 3e-16;

// The k-th of all floats in rising order, counted from zero.
inline float nth_float(Size k) {
    const std::uint32_t bits = static_cast<std::uint32_t>(k < 0 ? -k : k);
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return k < 0 ? -v : v;
}

inline Size number_of(float v) {
    std::uint32_t bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;  // for positive floats
}

// Every 8191st float, and all floats near a border between two formulas, of both signs, in rising order.
template <class Real>
std::vector<Real> every_magnitude() {
    std::vector<Size> found;
    const Size last = number_of(std::numeric_limits<float>::infinity());
    for (Size k = -last; k <= last; k += 8191) found.push_back(k);
    for (const float border : {0.0f, 0.3125f, 0.625f, 1.0f, 9.01f, 17.33f, 43.65f, 44.15f, 87.3f, 88.3f, 708.0f, 709.0f}) {
        for (Size k = -3000; k <= 3000; ++k) found.push_back(number_of(border) + k), found.push_back(-number_of(border) + k);
    }
    std::sort(found.begin(), found.end());
    std::vector<Real> numbers;
    for (const Size k : found) numbers.push_back(nth_float(k));
    return numbers;
}

template <class P>
std::vector<typename P::real> run(const Scan<P>& scan, char which, const std::vector<typename P::real>& in) {
    std::vector<typename P::real> out(in.size());
    scan.nonlinearity(which, in.data(), out.data(), static_cast<Size>(in.size()));
    return out;
}

template <class P>
void check_nonlinearity(const Scan<P>& scan, char which) {
    using real = typename P::real;
    const std::vector<real> in = every_magnitude<real>(), out = run(scan, which, in);
    for (std::size_t k = 0; k < in.size(); ++k) {
        const double x = in[k], truth = which == 't' ? std::tanh(x) : reference::sigmoid(x);
        checks::close(which == 't' ? "tanh" : "sigmoid", static_cast<Size>(k), out[k], truth, kOff<real>);
        const bool rises = k == 0 || out[k] >= out[k - 1] - kFall<real>;
        checks::that(rises, rises ? "" : "decreases at " + std::to_string(x));
    }
}

template <class P>
void check_special(const Scan<P>& scan) {
    using real = typename P::real;
    constexpr real kInfinity = std::numeric_limits<real>::infinity();
    const std::vector<real> in{0, kInfinity, std::numeric_limits<real>::quiet_NaN()};
    const std::vector<real> sigmoid = run(scan, 's', in), tanh = run(scan, 't', in);
    checks::that(sigmoid[0] == real{0.5} && tanh[0] == 0, "not exact at zero");
    checks::that(sigmoid[1] == 1 && tanh[1] == 1, "not exact at infinity");
    checks::that(std::isnan(sigmoid[2]) && std::isnan(tanh[2]), "a NaN was lost");
}

template <class P>
void check_nonlinearities(const Scan<P>& scan) {
    check_nonlinearity(scan, 's'), check_nonlinearity(scan, 't'), check_special(scan);
}

}  // namespace hiddenstate::test
