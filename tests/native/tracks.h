// Checks single layers and directions, forward and backward, against the reference.
#pragma once

#include <limits>

#include "call.h"

namespace hiddenstate::test {

// The allowed error, relative to the largest number of an array, or to 1. bfloat16 has 8 binary digits: a hidden state that is
// rounded to the other side is off by 2^-8 at once.
template <class P>
constexpr double kTolerance = 0;
template <>
constexpr double kTolerance<F32> = 2e-6;
template <>
constexpr double kTolerance<F64> = 4e-15;
template <>
constexpr double kTolerance<BF16> = 8e-3;

constexpr int kThreads[] = {2, 3};

// Adds a test and its problem to the messages of failures during its lifetime.
class Described {
public:
    Described(const char* test, const Track& k, const With& with) : before_(checks::context) {
        checks::context += std::string(" ") + test + " T=" + std::to_string(k.T) + " N=" + std::to_string(k.N) +
                           " C=" + std::to_string(k.C) + " H=" + std::to_string(k.H) + (k.reverse ? " reverse" : "") +
                           (with.lengths ? " lengths" : "") + (with.reset ? " reset" : "") + (with.reset_to ? " reset_to" : "") +
                           (k.edits.empty() ? "" : " edits") + " layout=" + std::to_string(with.layout);
    }
    ~Described() { checks::context = before_; }
    Described(const Described&) = delete;
    Described& operator=(const Described&) = delete;

private:
    const std::string before_;
};

template <class P>
void check_forward(const Scan<P>& scan, const Track& k, const With& with) {
    const Described described("forward", k, with);
    const reference::Scanned want = reference::forward(k);
    const Inputs<P> in(k, with);
    const Outputs<P> got = forward(scan, in, 1);
    const double tolerance = kTolerance<P>;
    expect_close("out", got.out, want.out, tolerance);
    expect_close("gates", got.gates, want.gates, tolerance), expect_close("raw_gates", got.raw_gates, want.raw_gates, tolerance);
    expect_close("c", got.c, want.c, tolerance), expect_close("h_n", got.h_n, want.h_n, tolerance);
    expect_close("c_n", got.c_n, want.c_n, tolerance);
    for (const int threads : kThreads) checks::that(forward(scan, in, threads) == got, "threads change the result");
    for (int other = kNoOther + 1; other < kOtherPlans; ++other) {
        for (const int threads : {1, 2}) checks::that(forward(scan, in, threads, true, other) == got, "another plan changes the result");
    }
    const Outputs<P> bare = forward(scan, in, 2, false);
    checks::that(bare.out == got.out && bare.h_n == got.h_n && bare.c_n == got.c_n, "recording changes the result");
}

inline reference::Given random_given(Random& random, const Track& k, unsigned wanted) {
    const Size rows = k.T * k.N;
    return {random.numbers(rows * k.H, 1), random.numbers(rows * k.R() * k.H, (wanted & kDgates) != 0),
            random.numbers(rows * k.M(), (wanted & kDc) != 0), random.numbers(k.N * k.H, (wanted & kDhN) != 0),
            random.numbers(k.N * k.M(), (wanted & kDcN) != 0)};
}

inline Numbers if_wanted(unsigned wanted, unsigned bit, const Numbers& want) {
    return wanted & bit ? want : reference::none(static_cast<Size>(want.size()));
}

template <class P>
void expect_gradients(const Found<P>& got, const reference::Gradients& want, unsigned wanted) {
    const double tolerance = kTolerance<P>;
    expect_close("dx", got.x, if_wanted(wanted, kDx, want.x), tolerance);
    expect_close("dW_ih", got.w_ih, if_wanted(wanted, kDwIh, want.w_ih), tolerance);
    expect_close("dW_hh", got.w_hh, if_wanted(wanted, kDwHh, want.w_hh), tolerance);
    expect_close("db", got.b, if_wanted(wanted, kDb, want.b), tolerance);
    if (got.b_hh.size()) expect_close("db_hh", got.b_hh, if_wanted(wanted, kDb, want.b_hh), tolerance);
    expect_close("dh0", got.h0, want.h0, tolerance), expect_close("dc0", got.c0, want.c0, tolerance);
    const auto of_borders = [wanted](Numbers values) {
        if (!(wanted & kDreset)) std::fill(values.begin(), values.end(), 0);
        return values;
    };
    expect_close("dreset_h", got.reset_h, of_borders(want.reset_h), tolerance);
    expect_close("dreset_c", got.reset_c, of_borders(want.reset_c), tolerance);
}

template <class P>
void check_backward(const Scan<P>& scan, Random& random, const Track& k, const With& with) {
    const Described described("backward", k, with);
    const unsigned wanted = random.coin() ? unsigned{kAll} : static_cast<unsigned>(random.below(kAll + 1));
    const reference::Given given = random_given(random, k, wanted);
    const reference::Scanned scanned = reference::forward(k);
    const reference::Gradients want = reference::backward(k, scanned, given);
    const Inputs<P> in(k, with);
    const Given<P> native_given(k, scanned, given, with);
    for (const bool keeps_gates : {true, false}) {
        const Found<P> got = backward(scan, in, native_given, wanted, 1, keeps_gates);
        expect_gradients(got, want, wanted);
        for (const int threads : kThreads) {
            checks::that(backward(scan, in, native_given, wanted, threads, keeps_gates) == got, "threads change the result");
        }
    }
}

template <class P>
Track rounding_track(Random& random, const Shape& shape, const With& with, Size k) {
    Track track = random_track(random, shape, with, k);
    track.rounded = rounded<typename P::element>;
    return track;
}

// A problem without borders, edits and gaps.
constexpr With kPlain{false, false, true, true, false, false, 0};

template <class P>
Track plain_track(Random& random, const Shape& shape) {
    Track track = rounding_track<P>(random, shape, kPlain, 0);
    track.reverse = false;
    return track;
}

template <class P>
void check_track(const Scan<P>& scan, Random& random, const Shape& shape, Size k) {
    const With with = With::random(random);
    const Track track = rounding_track<P>(random, shape, with, k);
    check_forward(scan, track, with);
    check_backward(scan, random, track, with);
}

// Checks that a hidden state that is set is rounded to the nearest number of its type, ties to even.
template <class P>
void check_stored(const Scan<P>& scan) {
    Random random(7);
    Track k = plain_track<P>(random, {1, 1, 1, 65, cell_of(scan)});
    reference::Edit edit{reference::output(k.cell), Kind::set, {0}, {0}, {}, {}, 0, 0, 1};
    for (Size u = 0; u < k.H; ++u) {
        edit.units.push_back(static_cast<std::int32_t>(u));
        // Odd units: 9 binary digits, halfway between two bfloat16. Even units: as many as a float has.
        edit.values.push_back(u % 2 ? (257.0 + 2.0 * static_cast<double>(random.below(128))) / 256
                                    : rounded<float>(random.number(1) / 3));
    }
    edit.values[1] = reference::kNone, edit.values[2] = std::numeric_limits<double>::infinity();
    k.edits.push_back(edit);
    const Described described("stored", k, kPlain);
    const Outputs<P> got = forward(scan, Inputs<P>(k, kPlain), 1);
    for (Size u = 0; u < k.H; ++u) {
        const double want = rounded<typename P::element>(reference::at(edit.values, u));
        checks::that(std::isnan(want) ? std::isnan(got.out[u]) : got.out[u] == want, "out is not what was set, rounded");
    }
}

template <class P>
void check_tracks(const Scan<P>& scan) {
    constexpr Size kProblems = 60;  // enough for each kind of edit at each place
    Random random(1);
    for (Size k = 0; k < enough(scan, kProblems); ++k) check_track(scan, random, random_shape(random, cell_of(scan)), k);
    // More rows and steps than fit in a chunk, and weights that several threads pack.
    for (Shape shape : {Shape{40, 13, 3, 17}, Shape{3, 101, 17, 3}, Shape{2, 2, 200, 130}}) {
        shape.cell = cell_of(scan);
        check_track(scan, random, shape, random.below(kProblems));
    }
}

}  // namespace hiddenstate::test
