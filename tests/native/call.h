// A problem as a scan takes it, what it gives, and the calls.
#pragma once

#include <memory>
#include <vector>

#include "numbers.h"
#include "problem.h"
#include "scan.h"

namespace hiddenstate::test {

// Where the rows of [T, N, width] lie.
struct Layout {
    Size step, row, size;

    Layout(const Track& k, Size width, Size layout) {
        const Size gap = layout == 2 ? 3 : 0;
        row = layout == 1 ? k.T * width : width + gap;
        step = layout == 1 ? width : k.N * row + gap;
        size = k.T && k.N ? (k.T - 1) * step + (k.N - 1) * row + width : 0;
    }

    // Rows laid out from rows without gaps, and `filler` between them.
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

// Rows of [T, N, width] that are past their end: not a number, so that whoever reads them is found out.
inline Numbers spoil_ended(const Track& k, Numbers values, Size width) {
    for (Size n = 0; n < k.N; ++n) {
        for (Size t = k.length(n); t < k.T; ++t) std::fill_n(values.begin() + (t * k.N + n) * width, width, reference::kNone);
    }
    return values;
}

// A track as a scan takes it.
template <class P>
struct Inputs {
    using element = typename P::element;
    using real = typename P::real;

    const Track& track;
    const With with;
    const Layout x_layout;
    Array<element> x, w_ih, w_hh, h0;
    Array<real> b_ih, b_hh, c0;
    Array<Size> lengths;
    Array<std::uint8_t> reset;
    std::vector<Array<real>> values;
    std::unique_ptr<Edits<real>> edits;

    Inputs(const Track& k, const With& with)
        : track(k), with(with), x_layout(k, k.C, with.layout),
          x(x_layout.place(k, spoil_ended(k, k.x, k.C), k.C, reference::kNone), with.shifted),
          w_ih(k.w_ih, with.shifted), w_hh(k.w_hh, with.shifted), h0(k.h0, with.shifted), b_ih(k.b_ih, with.shifted),
          b_hh(k.b_hh, with.shifted), c0(k.c0, with.shifted), lengths(k.N), reset(k.T * k.N) {
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

// What a forward scan gives.
template <class P>
struct Outputs {
    using element = typename P::element;
    using real = typename P::real;

    const Layout layout;
    Array<element> out, h_n;
    Array<real> gates, unedited, c, c_n;

    Outputs(const Track& k, const With& with)
        : layout(k, k.H, with.layout), out(layout.size, with.shifted), h_n(k.N * k.H, with.shifted),
          gates(k.T * k.N * 4 * k.H, with.shifted), unedited(k.T * k.N * 4 * k.H, with.shifted),
          c(k.T * k.N * k.H, with.shifted), c_n(k.N * k.H, with.shifted) {
        out.fill(kUntouched), gates.fill(kUntouched), unedited.fill(kUntouched), c.fill(kUntouched);
        h_n.fill(kUntouched), c_n.fill(kUntouched);
    }

    bool operator==(const Outputs& other) const {
        return out == other.out && h_n == other.h_n && gates == other.gates && unedited == other.unedited &&
               c == other.c && c_n == other.c_n;
    }
};

template <class P>
Outputs<P> forward(const Scan<P>& scan, const Inputs<P>& in, int threads, bool recorded = true) {
    const Track& k = in.track;
    Outputs<P> to(k, in.with);
    scan.forward({in.x.data(), in.weights(), in.with.states ? in.h0.data() : nullptr,
                  in.with.states ? in.c0.data() : nullptr, in.lengths_or_null(), in.reset_or_null(), in.edits.get(),
                  to.out.data(), recorded ? to.gates.data() : nullptr, recorded ? to.unedited.data() : nullptr,
                  recorded ? to.c.data() : nullptr, to.h_n.data(), to.c_n.data(), k.T, k.N, k.C, k.H, k.H, in.x_layout.step,
                  in.x_layout.row, to.layout.step, to.layout.row, k.reverse, threads});
    return to;
}

// Which of what may be null in a backward scan is given and asked for: one bit each.
enum Asked : unsigned {
    kDgates = 1, kDc = 2, kDhN = 4, kDcN = 8, kDx = 16, kDwIh = 32, kDwHh = 64, kDb = 128, kAll = 255
};

// What a backward scan is given beside its inputs.
template <class P>
struct Given {
    using element = typename P::element;
    using real = typename P::real;

    const Layout layout;
    Array<element> out, dout;
    Array<real> gates, c, dh_n, dc_n, dgates, dc;

    Given(const Track& k, const reference::Scanned& s, const reference::Given& given, const With& with)
        : Given(k, s, given, with.layout, with.shifted) {}

private:
    Given(const Track& k, const reference::Scanned& s, const reference::Given& given, Size order, bool shifted)
        : layout(k, k.H, order), out(layout.place(k, spoil_ended(k, s.out, k.H), k.H, reference::kNone), shifted),
          dout(layout.place(k, spoil_ended(k, given.out, k.H), k.H, reference::kNone), shifted), gates(s.unedited, shifted), c(spoil_ended(k, s.c, k.H), shifted), dh_n(given.h_n, shifted), dc_n(given.c_n, shifted),
          dgates(spoil_ended(k, given.gates, 4 * k.H), shifted), dc(spoil_ended(k, given.c, k.H), shifted) {}
};

template <class P>
struct Gradients {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> x, w_ih, w_hh, b;
    Array<real> h0, c0;

    Gradients(const Track& k, bool shifted)
        : x(k.T * k.N * k.C, shifted), w_ih(4 * k.H * k.C, shifted), w_hh(4 * k.H * k.H, shifted), b(4 * k.H, shifted),
          h0(k.N * k.H, shifted), c0(k.N * k.H, shifted) {
        x.fill(kUntouched), w_ih.fill(kUntouched), w_hh.fill(kUntouched), b.fill(kUntouched);
        h0.fill(kUntouched), c0.fill(kUntouched);
    }

    bool operator==(const Gradients& other) const {
        return x == other.x && w_ih == other.w_ih && w_hh == other.w_hh && b == other.b && h0 == other.h0 && c0 == other.c0;
    }
};

template <class P>
Gradients<P> backward(const Scan<P>& scan, const Inputs<P>& in, const Given<P>& given, unsigned asked, int threads) {
    const Track& k = in.track;
    Gradients<P> to(k, in.with.shifted);
    const auto if_asked = [asked](unsigned bit, auto* data) { return asked & bit ? data : nullptr; };
    scan.backward({in.x.data(), in.w_ih.data(), in.w_hh.data(), nullptr, in.h0.data(), in.c0.data(), in.lengths_or_null(),
                   in.reset_or_null(), in.edits.get(), given.out.data(), given.gates.data(), given.c.data(),
                   given.dout.data(), if_asked(kDhN, given.dh_n.data()), if_asked(kDcN, given.dc_n.data()),
                   if_asked(kDgates, given.dgates.data()),
                   if_asked(kDc, given.dc.data()), if_asked(kDx, to.x.data()), if_asked(kDwIh, to.w_ih.data()),
                   if_asked(kDwHh, to.w_hh.data()), if_asked(kDb, to.b.data()), nullptr, to.h0.data(), to.c0.data(), k.T, k.N, k.C,
                   k.H, k.H, in.x_layout.step, in.x_layout.row, given.layout.step, given.layout.row, k.reverse,
                   threads});
    return to;
}

}  // namespace hiddenstate::test
