// Converts a problem to the arguments of a scan, and calls the scan.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "numbers.h"
#include "problem.h"
#include "kernel/scan.h"

namespace hiddenstate::test {

template <class P>
CellKind cell_of(const Scan<P>& scan) {
    for (const Cell& cell : kCells) {
        if (std::string(scan.cell) == cell.id) return cell.kind;
    }
    throw std::invalid_argument(scan.cell);
}

// How many of the problems of an LSTM are enough for another kind of cell, which has fewer places to edit and shares the scans.
template <class P>
Size enough(const Scan<P>& scan, Size problems) {
    return scan.memory ? problems : problems * scan.gates / 6;
}

// The memory layout of the rows of [T, N, width].
struct Layout {
    Size step, row, size;

    Layout(const Track& k, Size width, Size layout) {
        const Size gap = layout == 2 ? 3 : 0;
        row = layout == 1 ? k.T * width : width + gap;
        step = layout == 1 ? width : k.N * row + gap;
        size = k.T && k.N ? (k.T - 1) * step + (k.N - 1) * row + width : 0;
    }

    // Copies contiguous rows into the layout, with `filler` between them.
    Numbers place(const Track& k, const Numbers& from, Size width, double filler) const {
        Numbers to(static_cast<std::size_t>(size), filler);
        for (Size t = 0; t < k.T; ++t) {
            for (Size n = 0; n < k.N; ++n) {
                std::copy_n(from.begin() + (t * k.N + n) * width, width, to.begin() + t * step + n * row);
            }
        }
        return to;
    }
};

// Sets rows of [T, N, width] that are past their end to NaN, so that a test fails if a scan reads them.
inline Numbers spoil_ended(const Track& k, Numbers values, Size width) {
    for (Size n = 0; n < k.N; ++n) {
        for (Size t = k.length(n); t < k.T; ++t) std::fill_n(values.begin() + (t * k.N + n) * width, width, reference::kNone);
    }
    return values;
}

// The states of borders of a track, or their gradients; of layer and direction k those of the k-th track, one after another.
template <class T>
BorderStates<T> border_states(const Track& k, const With& with, T* first, Size row) {
    const Size step = with.by_step ? k.N * row : 0;
    return {with.reset_to ? first : nullptr, with.by_step, with.by_step ? k.T * step : k.N * row, step, row};
}

// A track as arguments of a scan.
template <class P>
struct Inputs {
    using element = typename P::element;
    using real = typename P::real;

    const Track& track;
    const With with;
    const Layout x_layout;
    Array<element> x, w_ih, w_hh, h0, reset_h;
    Array<real> b_ih, b_hh, c0, reset_c;
    Array<Size> lengths;
    Array<std::uint8_t> reset;
    std::vector<Array<real>> values;
    std::unique_ptr<Edits<real>> edits;

    Inputs(const Track& k, const With& with)
        : track(k), with(with), x_layout(k, k.C, with.layout),
          x(x_layout.place(k, spoil_ended(k, k.x, k.C), k.C, reference::kNone), with.shifted),
          w_ih(k.w_ih, with.shifted), w_hh(k.w_hh, with.shifted), h0(k.h0, with.shifted), reset_h(k.reset_h, with.shifted),
          b_ih(k.b_ih, with.shifted), b_hh(k.b_hh, with.shifted), c0(k.c0, with.shifted), reset_c(k.reset_c, with.shifted),
          lengths(k.N), reset(k.T * k.N) {
        std::copy(k.lengths.begin(), k.lengths.end(), lengths.data());
        std::copy(k.reset.begin(), k.reset.end(), reset.data());
        if (!k.edits.empty()) add_edits();
    }

    Weights<P> weights() const {
        return {w_ih.data(), w_hh.data(), with.bias ? b_ih.data() : nullptr, with.bias ? b_hh.data() : nullptr,
                nullptr};
    }
    const Size* lengths_or_null() const { return with.lengths ? lengths.data() : nullptr; }
    const std::uint8_t* reset_or_null() const { return with.reset ? reset.data() : nullptr; }
    BorderStates<const element> borders_h() const { return border_states<const element>(track, with, reset_h.data(), track.H); }
    BorderStates<const real> borders_c() const { return border_states<const real>(track, with, reset_c.data(), track.M()); }

private:
    void add_edits() {
        edits = std::make_unique<Edits<real>>(track.N);
        for (const reference::Edit& edit : track.edits) {
            values.emplace_back(edit.values, with.shifted);
            edits->add(edit.place, edit.kind, values.back().data(), edit.step_stride, edit.row_stride, edit.unit_stride,
                       edit.steps, edit.rows, edit.units);
        }
    }
};

// The outputs and records of a forward scan.
template <class P>
struct Outputs {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> out, h_n;
    Array<real> gates, raw_gates, c, c_n;

    Outputs(const Track& k, const With& with)
        : out(k.T * k.N * k.H, with.shifted), h_n(k.N * k.H, with.shifted),
          gates(k.T * k.N * k.R() * k.H, with.shifted), raw_gates(k.T * k.N * k.R() * k.H, with.shifted),
          c(k.T * k.N * k.M(), with.shifted), c_n(k.N * k.M(), with.shifted) {
        out.fill(kUntouched), gates.fill(kUntouched), raw_gates.fill(kUntouched), c.fill(kUntouched);
        h_n.fill(kUntouched), c_n.fill(kUntouched);
    }

    bool operator==(const Outputs& other) const {
        return out == other.out && h_n == other.h_n && gates == other.gates && raw_gates == other.raw_gates &&
               c == other.c && c_n == other.c_n;
    }
};

// The call of one layer and direction, without its outputs and records.
template <class P>
Call<P> call_of(const Inputs<P>& in, int threads) {
    const Track& k = in.track;
    Call<P> call;
    call.x = in.x.data(), call.x_step = in.x_layout.step, call.x_row = in.x_layout.row;
    call.T = k.T, call.N = k.N, call.C = k.C, call.H = k.H, call.P = k.H;
    call.reverse = k.reverse;
    call.h0 = in.with.states ? in.h0.data() : nullptr, call.c0 = in.with.states ? in.c0.data() : nullptr;
    call.lengths = in.lengths_or_null(), call.reset = in.reset_or_null();
    call.reset_h = in.borders_h(), call.reset_c = in.borders_c();
    call.layers.push_back({in.weights(), in.edits.get(), nullptr, nullptr, nullptr});
    call.threads = threads, call.relu = k.cell == CellKind::rnn_relu;
    return call;
}

template <class P>
Outputs<P> forward(const Scan<P>& scan, const Inputs<P>& in, int threads, bool recorded = true, int other_plan = kNoOther) {
    Outputs<P> to(in.track, in.with);
    Call<P> call = call_of(in, threads);
    call.other_plan = other_plan;
    if (recorded) {
        auto& layer = call.layers[0];
        layer.gates = to.gates.data(), layer.raw_gates = to.raw_gates.data(), layer.c = to.c.data();
    }
    call.out = to.out.data(), call.h_n = to.h_n.data(), call.c_n = to.c_n.data();
    scan.forward(call);
    return to;
}

// Which of the arguments that may be null are given to a backward scan, one bit each.
enum Optional : unsigned {
    kDgates = 1, kDc = 2, kDhN = 4, kDcN = 8, kDx = 16, kDwIh = 32, kDwHh = 64, kDb = 128, kDreset = 256, kAll = 511
};

// What a backward scan reads beside its inputs: outputs and records of the forward scan, and their gradients.
template <class P>
struct Given {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> out, dout;
    Array<real> gates, c, dh_n, dc_n, dgates, dc;

    Given(const Track& k, const reference::Scanned& s, const reference::Given& given, const With& with)
        : out(spoil_ended(k, s.out, k.H), with.shifted), dout(spoil_ended(k, given.out, k.H), with.shifted),
          gates(s.raw_gates, with.shifted), c(spoil_ended(k, s.c, k.M()), with.shifted), dh_n(given.h_n, with.shifted),
          dc_n(given.c_n, with.shifted), dgates(spoil_ended(k, given.gates, k.R() * k.H), with.shifted),
          dc(spoil_ended(k, given.c, k.M()), with.shifted) {}
};

// The gradients that a backward scan computes for one layer and direction.
template <class P>
struct Found {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> x, w_ih, w_hh, b, b_hh;  // b_hh is empty if it is the same as b
    Array<real> h0, c0, reset_h, reset_c;

    Found(const Track& k, bool shifted)
        : x(k.T * k.N * k.C, shifted), w_ih(k.G() * k.H * k.C, shifted), w_hh(k.G() * k.H * k.H, shifted), b(k.G() * k.H, shifted),
          b_hh(k.apart() ? k.G() * k.H : 0, shifted), h0(k.N * k.H, shifted), c0(k.N * k.M(), shifted), reset_h(static_cast<Size>(k.reset_h.size()), shifted),
          reset_c(static_cast<Size>(k.reset_c.size()), shifted) {
        x.fill(kUntouched), w_ih.fill(kUntouched), w_hh.fill(kUntouched), b.fill(kUntouched), b_hh.fill(kUntouched);
        h0.fill(kUntouched), c0.fill(kUntouched), reset_h.fill(0), reset_c.fill(0);
    }

    bool operator==(const Found& other) const {
        return x == other.x && w_ih == other.w_ih && w_hh == other.w_hh && b == other.b && b_hh == other.b_hh && h0 == other.h0 && c0 == other.c0 &&
               reset_h == other.reset_h && reset_c == other.reset_c;
    }
};

// Without `keeps_gates` the scan has to compute them again.
template <class P>
Found<P> backward(const Scan<P>& scan, const Inputs<P>& in, const Given<P>& given, unsigned wanted, int threads,
                  bool keeps_gates = true) {
    Found<P> to(in.track, in.with.shifted);
    const auto if_wanted = [wanted](unsigned bit, auto* data) { return wanted & bit ? data : nullptr; };
    Call<P> call = call_of(in, threads);
    call.h0 = in.h0.data(), call.c0 = in.c0.data(), call.out = given.out.data();
    if (keeps_gates) (in.edits ? call.layers[0].raw_gates : call.layers[0].gates) = given.gates.data();
    call.layers[0].c = given.c.data();
    Gradients<P> gradients;
    gradients.out = given.dout.data();
    gradients.h_n = if_wanted(kDhN, given.dh_n.data()), gradients.c_n = if_wanted(kDcN, given.dc_n.data());
    gradients.layers.push_back({if_wanted(kDgates, given.dgates.data()), if_wanted(kDc, given.dc.data()),
                                if_wanted(kDwIh, to.w_ih.data()), if_wanted(kDwHh, to.w_hh.data()),
                                if_wanted(kDb, to.b.data()), nullptr,
                                to.b_hh.size() ? if_wanted(kDb, to.b_hh.data()) : nullptr});
    gradients.x = if_wanted(kDx, to.x.data()), gradients.h0 = to.h0.data(), gradients.c0 = to.c0.data();
    if (wanted & kDreset) {
        gradients.reset_h = border_states(in.track, in.with, to.reset_h.data(), in.track.H);
        gradients.reset_c = border_states(in.track, in.with, to.reset_c.data(), in.track.M());
    }
    scan.backward(call, gradients);
    return to;
}

}  // namespace hiddenstate::test
