// Makes random problems.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <random>
#include <vector>

#include "reference.h"

namespace hiddenstate::test {

using reference::Numbers;
using reference::Size;
using reference::Track;

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}

    Size below(Size n) { return static_cast<Size>(engine_() % static_cast<std::uint64_t>(n)); }
    bool coin() { return below(2); }
    Size pick(std::initializer_list<Size> from) { return from.begin()[below(static_cast<Size>(from.size()))]; }

    // In -scale ... scale. If the scale is a power of two, every type stores the number exactly.
    double number(double scale) { return static_cast<double>(below(257) - 128) / 128 * scale; }

    Numbers numbers(Size n, double scale) {
        Numbers found(static_cast<std::size_t>(n));
        for (double& v : found) v = number(scale);
        return found;
    }

    // A random subset of 0 ... n - 1, not empty, in random order.
    std::vector<std::int32_t> some(Size n) {
        std::vector<std::int32_t> all(static_cast<std::size_t>(n));
        for (Size k = 0; k < n; ++k) all[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(k);
        std::shuffle(all.begin(), all.end(), engine_);
        all.resize(static_cast<std::size_t>(1 + below(n)));
        return all;
    }

private:
    std::mt19937_64 engine_;
};

struct Shape {
    Size T, N, C, H;
    reference::Cell cell = reference::Cell::lstm;
};

inline Shape random_shape(Random& random, reference::Cell cell) {
    return {random.below(8), 1 + random.below(13), random.pick({1, 3, 17, 65}), random.pick({1, 3, 17, 65}), cell};
}

// A power of two near 1 / sqrt(n), so that sums of n products are near 1.
inline double weight_scale(Size n) { return std::exp2(-std::floor(std::log2(static_cast<double>(n)) / 2)); }

inline reference::Edit random_edit(Random& random, const Shape& s, int place, int kind) {
    reference::Edit edit{static_cast<Place>(place), static_cast<Kind>(kind), random.some(s.T), random.some(s.N),
                         random.some(s.H), {}, 0, 0, 0};
    Size size = 1;
    const auto stride = [&](const std::vector<std::int32_t>& chosen) {
        if (random.coin()) return Size{0};  // one value for all along this axis
        const Size found = size;
        size *= static_cast<Size>(chosen.size());
        return found;
    };
    edit.unit_stride = stride(edit.units), edit.row_stride = stride(edit.rows), edit.step_stride = stride(edit.steps);
    edit.values = random.numbers(size, 2);
    return edit;
}

// The optional parts of a problem. For a missing part, the scan gets a null pointer if it accepts one.
struct With {
    bool lengths, reset, bias, states, edits, shifted;
    Size layout;  // of x and out: 0 step after step, 1 row after row, 2 with gaps
    bool reset_to = false, by_step = false;  // whether borders have states, and borders of different steps different ones

    static With random(Random& random) {
        return {random.coin(), random.coin(), random.below(4) != 0, random.below(4) != 0, random.below(4) != 0,
                random.coin(), random.below(3), random.coin(), random.coin()};
    }
};

inline void add_weights(Random& random, const With& with, Track& track) {
    const Size C = track.C, H = track.H, G = track.G();
    track.w_ih = random.numbers(G * H * C, weight_scale(C)), track.w_hh = random.numbers(G * H * H, weight_scale(H));
    track.b_ih = random.numbers(G * H, with.bias), track.b_hh = random.numbers(G * H, with.bias);
}

inline void add_borders(Random& random, const With& with, Track& track) {
    for (Size n = 0; n < track.N; ++n) track.lengths.push_back(with.lengths ? random.below(track.T + 1) : track.T);
    for (Size k = 0; k < track.T * track.N; ++k) track.reset.push_back(with.reset && random.below(4) == 0);
    const Size states = with.reset_to ? (with.by_step ? track.T : 1) * track.N : 0;
    track.by_step = with.by_step;
    track.reset_h = random.numbers(states * track.H, 1), track.reset_c = random.numbers(states * track.M(), 1);
}

// If the problem has edits, the first is of the k-th place and kind, so that 30 problems in a row cover all of them.
inline Track random_track(Random& random, const Shape& s, const With& with, Size k) {
    Track track;
    track.cell = s.cell, track.T = s.T, track.N = s.N, track.C = s.C, track.H = s.H;
    track.reverse = random.coin();
    track.x = random.numbers(s.T * s.N * s.C, 1);
    add_weights(random, with, track);
    track.h0 = random.numbers(s.N * s.H, with.states), track.c0 = random.numbers(s.N * track.M(), with.states);
    add_borders(random, with, track);
    const Size places = reference::output(s.cell) + 1;
    if (with.edits && s.T > 0) {
        track.edits.push_back(random_edit(random, s, static_cast<int>(k % places), static_cast<int>(k % 3)));
        for (Size more = random.below(4); more > 0; --more) {
            track.edits.push_back(
                random_edit(random, s, static_cast<int>(random.below(places)), static_cast<int>(random.below(3))));
        }
    }
    return track;
}

}  // namespace hiddenstate::test
