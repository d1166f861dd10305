// Checks the scans on weights of 8 bits against the reference, whose products are rounded alike.
#pragma once

#include "nan.h"
#include "stacks.h"
#include "subnormals.h"
#include "tracks.h"

namespace hiddenstate::test {

// A row as whole numbers of -127 ... 127 of a scale, computed in float as the kernel does.
struct Rounded {
    float scale;
    std::vector<double> steps;

    Rounded(const double* row, Size n, bool weights) {
        float greatest = 0;
        for (Size j = 0; j < n; ++j) greatest = std::max(greatest, std::abs(static_cast<float>(row[j])));
        scale = greatest / 127;
        if (weights) scale = greatest / 127.0f * 127.0f / 127.0f;
        const float per_step = greatest > 0 ? 127 / greatest : 0;
        for (Size j = 0; j < n; ++j) {
            const float one = static_cast<float>(row[j]);
            const double exact = static_cast<double>(one) * static_cast<double>(per_step);  // fused: rounded once
            steps.push_back(!weights ? std::nearbyint(exact) : scale > 0 ? std::nearbyint(one / scale) : 0);
        }
    }
};

inline double rounded_product(const double* w, const double* a, Size n) {
    const Rounded weights(w, n, true), numbers(a, n, false);
    double sum = 0;
    for (Size j = 0; j < n; ++j) sum += weights.steps[static_cast<std::size_t>(j)] * numbers.steps[static_cast<std::size_t>(j)];
    return sum * static_cast<double>(weights.scale * numbers.scale);
}

// Numbers of any digits, so that rounding is no special case.
inline void make_uneven(Random& random, Numbers& numbers) {
    for (double& v : numbers) v = rounded<float>(v * (1 + random.number(1) / 16) / 3);
}

inline Track int8_track(Random& random, const Shape& shape, const With& with, Size k) {
    Track track = rounding_track<F32>(random, shape, with, k);
    track.multiplied = rounded_product;
    for (Numbers Track::*part : {&Track::x, &Track::w_ih, &Track::w_hh, &Track::h0, &Track::c0}) {
        make_uneven(random, track.*part);
    }
    return track;
}

// One step is computed alike. Over more, a last digit of h may be rounded to another step, which changes the next ones.
inline void check_int8_forward(const Scan<F32>& scan, const Track& track, const With& with) {
    const Described described("int8", track, with);
    const reference::Scanned want = reference::forward(track);
    const Inputs<F32> given(track, with);
    for (const int threads : {1, 2, 3}) {
        const Outputs<F32> got = forward(scan, given, threads);
        const double tolerance = track.T <= 1 && track.edits.empty() ? kTolerance<F32> : 2.0 / 127;
        expect_close("h_n", got.h_n, want.h_n, tolerance);
        expect_close("c_n", got.c_n, want.c_n, tolerance * (1 + static_cast<double>(track.T)));
    }
}

// Steps on packed weights give the numbers of a whole call, to the last digit.
inline void check_int8_steps(const Scan<F32>& scan, Random& random) {
    const Size T = 1 + random.below(7), N = 1 + random.below(40), H = random.pick({1, 3, 17, 65});
    const Track track = int8_track(random, {T, N, random.pick({1, 3, 17, 65}), H, cell_of(scan)}, kPlain, 0);
    Track forwards = track;
    forwards.reverse = false;
    const Described described("int8 steps", forwards, kPlain);
    const Inputs<F32> given(forwards, kPlain);
    const Outputs<F32> want = forward(scan, given, 1);
    std::vector<unsigned char> bytes(static_cast<std::size_t>(scan.packed_bytes(track.C, H)) + 64);
    std::vector<float> bias(static_cast<std::size_t>(scan.packed_bias_size(H))), scratch(static_cast<std::size_t>(N * H));
    scan.pack(given.weights(), track.C, H, 1, bytes.data(), bias.data());
    for (const int threads : {-2, 1, 2}) {
        Call<F32> call = call_of(given, std::abs(threads));
        Array<float> out(T * N * H, false), h_n(N * H, false), c_n(N * track.M(), false);
        call.packed = {bytes.data(), bias.data(), scratch.data(), nullptr, N};
        call.packed.close = threads < 0;
        call.x_step = N * track.C, call.x_row = track.C;
        call.out = out.fill(kUntouched).data(), call.h_n = h_n.data(), call.c_n = c_n.data();
        scan.forward(call);
        checks::that(h_n == want.h_n && c_n == want.c_n, "a step differs from the whole");
    }
}

// What is not a number, or infinite, in a row's input makes that row's numbers NaN, and no other's.
inline void check_int8_nan(const Scan<F32>& scan, Random& random) {
    for (const double bad : {reference::kNone, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
        Track track = int8_track(random, {1, 5, 17, 33, cell_of(scan)}, kPlain, 0);
        reference::at(track.x, 2 * track.C + 3) = bad;
        const Described described("int8 nan", track, kPlain);
        const Outputs<F32> got = forward(scan, Inputs<F32>(track, kPlain), 1);
        for (Size k = 0; k < track.N * track.H; ++k) {
            checks::that(std::isnan(got.h_n.data()[k]) == (k / track.H == 2), "NaN in the wrong place: " + std::to_string(k));
        }
    }
}

// Those of the widest vectors among some scans: vectors of a block of packed biases show how wide they are.
inline std::vector<const Scan<F32>*> of_widest_vectors(const std::vector<const Scan<F32>*>& scans) {
    std::vector<const Scan<F32>*> found;
    for (const Scan<F32>* scan : scans) {
        if (scan->packed_bias_size(1) == scans.back()->packed_bias_size(1)) found.push_back(scan);
    }
    return found;
}

// Scans of vectors of the same width give the same numbers to the last digit, whichever registers they multiply in: sums are whole
// numbers, and the rest is computed alike.
inline void check_int8_widths_agree(const std::vector<const Scan<F32>*>& scans, const Track& track, const With& with) {
    const Described described("int8 sets", track, with);
    const Inputs<F32> given(track, with);
    for (const int threads : {1, 2}) {
        const Outputs<F32> want = forward(*scans.front(), given, 1);
        for (const Scan<F32>* scan : scans) {
            checks::that(forward(*scan, given, threads) == want, std::string(scan->isa) + " differs from " + scans.front()->isa);
        }
    }
}

// More rows than a tile of matrix registers has, ragged and edited ones too, and more of k than one register.
inline void check_int8_many_rows(const std::vector<const Scan<F32>*>& scans) {
    Random random(12);
    const std::vector<const Scan<F32>*> same = of_widest_vectors(scans);
    for (Shape shape : {Shape{5, 33, 65, 17}, Shape{3, 101, 17, 3}, Shape{2, 40, 200, 130}, Shape{100, 1, 70, 65}}) {
        if (!scans.empty()) shape.cell = cell_of(*scans[0]);
        for (Size k = 0; k < 4; ++k) {
            const With with = With::random(random);
            const Track track = int8_track(random, shape, with, k);
            if (!same.empty()) check_int8_widths_agree(same, track, with);
        }
        for (const Scan<F32>* scan : scans) {
            const Track track = int8_track(random, {1, shape.T * shape.N, shape.C, shape.H, shape.cell}, kPlain, 0);
            check_int8_forward(*scan, track, kPlain);
        }
    }
}

inline void check_int8_scans(CellKind kind) {
    for (const Scan<F32>* scan : scans_int8(kind)) {
        checks::context = std::string("int8 ") + scan->cell + " " + scan->isa;
        Random random(11);
        for (Size k = 0; k < 60; ++k) {
            const With with = With::random(random);
            Shape shape = random_shape(random, cell_of(*scan));
            if (k % 2) shape.T = 1;
            check_int8_forward(*scan, int8_track(random, shape, with, k), with);
            check_int8_steps(*scan, random);
        }
        check_int8_nan(*scan, random), check_nan_stays_in_steps(*scan);
        std::printf("%s: %lld checks so far\n", checks::context.c_str(), static_cast<long long>(checks::made));
    }
    checks::context = "int8";
    check_int8_many_rows(scans_int8(kind));
}

}  // namespace hiddenstate::test
