// Checks that subnormal numbers become zero in scans, and that the calling thread's floating-point mode is restored.
#pragma once

#include <limits>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "stacks.h"

namespace hiddenstate::test {

// The control register of the floating-point unit: rounding mode, and whether subnormal numbers are flushed to zero.
inline std::uint64_t control_register() {
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    std::uint64_t value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
#else
    return 0;
#endif
}

// Whether the calling thread's arithmetic still has subnormal numbers.
inline bool has_subnormals() {
    volatile double small = std::numeric_limits<double>::min();
    return small / 2 > 0;
}

// A track whose states decay: the inputs are zero, and the forget or update gates almost closed; a plain RNN needs none.
template <class P>
Track decaying_track(Random& random, const Shape& shape) {
    Track k = plain_track<P>(random, shape);
    std::fill(k.x.begin(), k.x.end(), 0.0), std::fill(k.w_hh.begin(), k.w_hh.end(), 0.0);
    std::fill(k.b_ih.begin(), k.b_ih.end(), 0.0), std::fill(k.b_hh.begin(), k.b_hh.end(), 0.0);
    const std::size_t keeper = std::string(k.facts().order).find_first_of("fz") / 2;
    if (k.G() > 1) std::fill_n(k.b_ih.begin() + static_cast<Size>(keeper) * k.H, k.H, -20.0);
    return k;
}

template <class P>
void check_subnormals(const Scan<P>& scan) {
    Random random(4);
    const Track k = decaying_track<P>(random, {60, 5, 3, 17, cell_of(scan)});  // to e^-1200: under any double
    const Described described("subnormals", k, kPlain);
    const Inputs<P> in(k, kPlain);
    const reference::Scanned scanned = reference::forward(k);
    const Given<P> given(k, scanned, random_given(random, k, kAll), kPlain);
    const std::uint64_t before = control_register();
    const double smallest = std::numeric_limits<typename P::real>::min();
    for (const int threads : {1, 2, 3}) {
        const Outputs<P> got = forward(scan, in, threads);
        checks::that(control_register() == before && has_subnormals(), "forward leaves subnormal numbers off");
        const auto is_normal = [&](double v) { checks::that(v == 0 || std::abs(v) >= smallest, "a subnormal state"); };
        for (Size j = 0; j < got.c.size(); ++j) is_normal(got.c[j]);
        for (Size j = 0; j < got.out.size(); ++j) is_normal(got.out[j]);
        expect_close("c", got.c, scanned.c, kTolerance<P>);
        for (Size j = 0; j < got.c_n.size(); ++j) checks::that(got.c_n[j] == 0, "a state that has decayed is not zero");
        for (Size j = 0; j < got.h_n.size(); ++j) checks::that(got.h_n[j] == 0, "a state that has decayed is not zero");
        const Found<P> gradients = backward(scan, in, given, kAll, threads);
        checks::that(control_register() == before && has_subnormals(), "backward leaves subnormal numbers off");
        checks::that(std::isfinite(gradients.x[0]), "a gradient that has decayed is not a number");
    }
}

template <class P>
void check_subnormals_in_steps(const Scan<P>& scan) {
    Random random(5);
    Stack stack;
    stack.tracks.push_back(decaying_track<P>(random, {60, 5, 3, 17, cell_of(scan)}));
    const Described described("subnormals in steps", stack.tracks[0], kPlain);
    const Array<typename P::element> x(stack.tracks[0].x, false);
    const std::uint64_t before = control_register();
    for (const int threads : {1, 2, 3}) {
        Stream<P> stream(scan, stack, kPlain, threads);
        stream.run(scan, x, threads);
        checks::that(control_register() == before && has_subnormals(), "steps leave subnormal numbers off");
        for (Size j = 0; j < stream.c.size(); ++j) checks::that(stream.c[j] == 0, "a state that has decayed is not zero");
        for (Size j = 0; j < stream.h.size(); ++j) checks::that(stream.h[j] == 0, "a state that has decayed is not zero");
    }
}

}  // namespace hiddenstate::test
