// Checks that a NaN stays in its row.
#pragma once

#include "stacks.h"

namespace hiddenstate::test {

// Checks that rows [T, N, width] are bitwise equal, except row `n`.
template <class T>
void expect_others_same(const char* what, const Array<T>& got, const Array<T>& want, const Shape& s, Size width, Size n) {
    for (Size k = 0; k < got.size(); ++k) {
        if (k / width % s.N != n) checks::that(got[k] == want[k], std::string(what) + ": a NaN touched another row");
    }
}

template <class P>
void check_nan_stays(const Scan<P>& scan) {
    const Shape s{5, 7, 3, 17, cell_of(scan)};
    constexpr Size kStep = 2, kRow = 3;
    Random random(2);
    Track k = plain_track<P>(random, s);
    const Described described("NaN", k, kPlain);
    const reference::Scanned scanned = reference::forward(k);
    const Given<P> given(k, scanned, random_given(random, k, kAll), kPlain);
    const auto run = [&](int threads) {
        const Inputs<P> in(k, kPlain);
        return std::pair(forward(scan, in, threads), backward(scan, in, given, kAll, threads));
    };
    const auto [clean, clean_gradients] = run(1);
    reference::at(k.x, (kStep * s.N + kRow) * s.C + 1) = reference::kNone;
    std::fill_n(given.gates.data() + (kStep * s.N + kRow) * k.R() * s.H, k.R() * s.H, static_cast<typename P::real>(reference::kNone));
    for (const int threads : {1, 2, 3}) {
        const auto [got, gradients] = run(threads);
        expect_others_same("out", got.out, clean.out, s, s.H, kRow), expect_others_same("c_n", got.c_n, clean.c_n, s, s.H, kRow);
        expect_others_same("gates", got.gates, clean.gates, s, k.R() * s.H, kRow);
        expect_others_same("dx", gradients.x, clean_gradients.x, s, s.C, kRow);
        expect_others_same("dh0", gradients.h0, clean_gradients.h0, s, s.H, kRow);
        for (Size t = kStep; t < s.T; ++t) {
            for (Size u = 0; u < s.H; ++u) {
                checks::that(std::isnan(got.out[(t * s.N + kRow) * s.H + u]), "out: a NaN was lost");
                // relu's derivative is 1 for what is not a number, as in torch.
                checks::that(scan.relu || std::isnan(gradients.h0[kRow * s.H + u]), "dh0: a NaN was lost");
            }
        }
    }
}

template <class P>
void check_nan_stays_in_steps(const Scan<P>& scan) {
    const Shape s{3, 7, 3, 17, cell_of(scan)};
    constexpr Size kRow = 3;
    Random random(3);
    Stack stack = random_stack<P>(random, s, kPlain, 2, 1, false);
    const Described described("NaN in steps", stack.tracks[0], kPlain);
    Array<typename P::element> x(stack.tracks[0].x, false);
    Stream<P> clean_stream(scan, stack, kPlain, 1);
    const auto clean = clean_stream.run(scan, x, 1);
    store(reference::kNone, x.data()[kRow * s.C]);
    for (const int threads : {1, 2, 3}) {
        Stream<P> stream(scan, stack, kPlain, threads);
        const auto got = stream.run(scan, x, threads);
        expect_others_same("out", got, clean, s, s.H, kRow), expect_others_same("c", stream.c, clean_stream.c, s, s.H, kRow);
        checks::that(std::isnan(got[kRow * s.H]), "out: a NaN was lost");
    }
}

}  // namespace hiddenstate::test
