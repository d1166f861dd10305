// Checks steps of a cell on its weights as they are against the reference.
#pragma once

#include "tracks.h"

namespace hiddenstate::test {

// A step of a cell, from the first step of a track.
template <class P>
struct CellProblem {
    using element = typename P::element;

    const Track& k;
    const With with;
    const Array<element> x, w_ih, w_hh, b_ih, b_hh, h, c;

    CellProblem(const Track& k, const With& with)
        : k(k), with(with), x(k.x, with.shifted), w_ih(k.w_ih, with.shifted), w_hh(k.w_hh, with.shifted),
          b_ih(k.b_ih, with.shifted), b_hh(k.b_hh, with.shifted), h(k.h0, with.shifted), c(k.c0, with.shifted) {}

    // Runs it, on exactly the memory that it may write. `record`: or null.
    void run(const Scan<P>& scan, int threads, Array<element>& new_h, Array<element>& new_c, bool from_last = false,
             typename P::real* record = nullptr) const {
        CellStep<P> step{};
        step.record = record, step.relu = scan.relu;
        step.x = x.data(), step.ih = w_ih.data(), step.hh = w_hh.data();
        step.b_ih = with.bias ? b_ih.data() : nullptr, step.b_hh = with.bias ? b_hh.data() : nullptr;
        step.h = with.states ? h.data() : nullptr, step.c = with.states ? c.data() : nullptr;
        step.new_h = new_h.fill(kUntouched).data(), step.new_c = new_c.fill(kUntouched).data();
        step.N = k.N, step.C = k.C, step.H = k.H, step.threads = threads, step.from_last = from_last;
        scan.cell_step(step);
    }
};

template <class P>
void check_cell(const Scan<P>& scan, const Track& k, const With& with) {
    using element = typename P::element;
    const Described described("cell", k, with);
    const reference::Scanned want = reference::forward(k);
    const CellProblem<P> problem(k, with);
    Array<element> h(k.N * k.H, with.shifted), c(k.N * k.M(), with.shifted), again_h(k.N * k.H), again_c(k.N * k.M());
    problem.run(scan, 1, h, c);
    expect_close("h", h, want.h_n, kTolerance<P>), expect_close("c", c, want.c_n, kTolerance<P>);
    for (const int threads : kThreads) {
        problem.run(scan, threads, again_h, again_c);
        checks::that(again_h == h && again_c == c, "threads change the result");
        problem.run(scan, threads, again_h, again_c, true);
        checks::that(again_h == h && again_c == c, "the order of the units changes the result");
    }
}

// The derivative of a step: the gradients of the input and of the states before it.
template <class P>
void check_cell_gradients(const Scan<P>& scan, Random& random, Track k, const With& with) {
    using element = typename P::element;
    k.rounded = rounded<element>;
    const Described described("cell backward", k, with);
    const reference::Scanned scanned = reference::forward(k);
    reference::Given given = random_given(random, k, kAll & ~(kDgates | kDc));
    std::fill(given.out.begin(), given.out.end(), 0.0);
    const reference::Gradients want = reference::backward(k, scanned, given);
    const CellProblem<P> problem(k, with);
    const Size states = k.N * k.H;
    Array<element> h(states), c(k.N * k.M());
    Array<typename P::real> record(k.N * (scan.record + scan.memory) * k.H, with.shifted);
    problem.run(scan, 1, h, c, false, record.data());
    const Array<element> dh(given.h_n, with.shifted), dc(given.c_n, with.shifted);
    for (const int threads : {1, 2, 3}) {
        Array<element> d_z(k.N * scan.slopes * k.H, with.shifted), d_x(k.N * k.C, with.shifted), d_h(states, with.shifted);
        Array<element> d_c(k.N * k.M(), with.shifted);
        CellGradients<P> step{};
        const element* const memory = k.M() ? problem.c.data() : problem.h.data();
        step.record = record.data(), step.memory = with.states ? memory : nullptr;
        step.ih = problem.w_ih.data(), step.hh = problem.w_hh.data();
        step.d_new_h = dh.data(), step.d_new_c = k.M() ? dc.data() : nullptr;
        step.d_z = d_z.fill(kUntouched).data(), step.d_x = d_x.fill(kUntouched).data();
        step.d_h = d_h.fill(kUntouched).data(), step.d_c = k.M() ? d_c.fill(kUntouched).data() : nullptr;
        step.N = k.N, step.C = k.C, step.H = k.H, step.threads = threads, step.relu = scan.relu;
        scan.cell_gradients(step);
        expect_close("d_x", d_x, want.x, kTolerance<P>), expect_close("d_h", d_h, want.h0, 2 * kTolerance<P>);
        expect_close("d_c", d_c, want.c0, kTolerance<P>);
    }
}

// A number that is no number or infinite in one feature, one state or one weight reaches what depends on it, and nothing else.
template <class P>
void check_cell_extremes(const Scan<P>& scan, Random& random) {
    const With with{false, false, true, true, false, false, 0};
    const Shape shape{1, 2, random.pick({3, 17, 65}), random.pick({3, 17, 65}), cell_of(scan)};
    Track k = random_track(random, shape, with, 0);
    k.reverse = false;
    for (const double v : {reference::kNone, std::numeric_limits<double>::infinity()}) {
        Track spoilt = k;
        // One row of the weights of one unit, so that no other unit may change.
        const Size unit = random.below(k.H), feature = random.below(k.C);
        for (Size g = 0; g < k.G(); ++g) reference::at(spoilt.w_ih, (g * k.H + unit) * k.C + feature) = v;
        for (double& x : spoilt.x) x = x == 0 ? 1 : x;  // infinity times zero is no number
        Track sound = k;
        sound.x = spoilt.x;
        using element = typename P::element;
        Array<element> h(k.N * k.H), c(k.N * k.M()), want_h(k.N * k.H), want_c(k.N * k.M());
        CellProblem<P>(spoilt, with).run(scan, 1, h, c);
        CellProblem<P>(sound, with).run(scan, 1, want_h, want_c);
        const reference::Scanned want = reference::forward(spoilt);
        for (Size j = 0; j < k.N * k.H; ++j) {
            if (j % k.H != unit) checks::that(h[j] == want_h[j] && (!k.M() || c[j] == want_c[j]), "another unit's weight changes a unit");
            const double should = reference::at(want.h_n, j);
            if (j % k.H == unit) checks::that(std::isnan(should) ? std::isnan(h[j]) : h[j] == should || std::abs(h[j] - should) <= kTolerance<P>, "an extreme weight");
        }
    }
}

template <class P>
void check_cells(const Scan<P>& scan) {
    constexpr int kProblems = 30;
    Random random(11);
    for (Size problem = 0; problem < enough(scan, kProblems); ++problem) {
        With with = With::random(random);
        with.lengths = with.reset = with.edits = false;
        with.layout = 0;
        const Shape shape{1, 1 + random.below(9), random.pick({1, 3, 16, 17, 33, 65, 150}), random.pick({1, 3, 16, 17, 33, 65, 150}), cell_of(scan)};
        const Track track = random_track(random, shape, with, 0);
        check_cell(scan, track, with), check_cell_gradients(scan, random, track, with);
        check_cell_extremes(scan, random);
    }
}

}  // namespace hiddenstate::test
