// A fourth kind of cell, as a stranger would write it: an LSTM whose input and forget gates are coupled, i = 1 - f
// (Greff et al. (2017), "LSTM: A Search Space Odyssey"). The scans include it in place of native/kernel/lstm.h.
#pragma once

#include "kernel/edited_row.h"
#include "kernel/vec.h"

#define HIDDENSTATE_NONLINEARITIES(X) X(coupled, false)

namespace hiddenstate {
namespace {
namespace coupled {

constexpr int kGates = 3;  // f, g, o
constexpr int kAcross = 1;
constexpr bool kApart = false;
constexpr int kSums = kGates, kRecord = kGates, kSlopes = kGates;
constexpr int kRecurrent = 0;
constexpr bool kMemory = true, kDirect = false;
constexpr Place kOutput = kH;
constexpr Place kPre[] = {kFPre, kGPre, kOPre};

struct Gates {
    vf f, g, o;

    explicit Gates(const vf (&z)[kSums], bool = false) : f(sigmoid(z[0])), g(tanh(z[1])), o(sigmoid(z[2])) {}

    Gates(const real* from, std::int64_t H, std::int64_t lanes, bool = false)
        : f(load(from, lanes)), g(load(from + H, lanes)), o(load(from + 2 * H, lanes)) {}

    template <class Undo>
    void derivative(const Gates& after, vf d_m, vf s, vf c_before, vf& d_c, const Gates* more, const Undo& undo, vf (&to)[kSlopes]) const {
        const vf one = splat(1);
        d_c += d_m * after.o * (one - s * s);
        undo(kC, d_c);
        vf d_f = d_c * (c_before - after.g), d_g = d_c * (one - after.f), d_o = d_m * s;
        d_c *= after.f;
        if (more) d_f += more->f, d_g += more->g, d_o += more->o;
        undo(kF, d_f), undo(kG, d_g), undo(kO, d_o);
        to[0] = d_f * f * (one - f), to[1] = d_g * (one - g * g), to[2] = d_o * o * (one - o);
        for (int gate = 0; gate < kGates; ++gate) undo(kPre[gate], to[gate]);
    }

    vf output(vf s) const { return o * s; }

    void store_to(real* to, std::int64_t H, std::int64_t lanes, bool past_cache) const {
        store_record(to, f, lanes, past_cache), store_record(to + H, g, lanes, past_cache), store_record(to + 2 * H, o, lanes, past_cache);
    }
};

struct State {
    vf c, h, s;  // s = tanh(c)

    static vf cell(const Gates& gates, vf c_before) { return fused(gates.f, c_before - gates.g, gates.g); }

    static State from_cell(vf c, const Gates& gates) {
        const vf s = tanh(c);
        return {c, gates.o * s, s};
    }

    static State of(const Gates& gates, vf c_before) { return from_cell(cell(gates, c_before), gates); }
};

struct EditedGates {
    Gates before, after;

    EditedGates(const EditedRow& edits, const vf (&z)[kSums], bool = false) : before(edited(edits, z)), after(before) { apply(edits, after); }

    static void apply(const EditedRow& edits, Gates& to) { edits.apply(kF, to.f), edits.apply(kG, to.g), edits.apply(kO, to.o); }

    State state(const EditedRow& edits, vf c_before) const {
        vf c = State::cell(after, c_before);
        edits.apply(kC, c);
        return State::from_cell(c, after);
    }

private:
    static Gates edited(const EditedRow& edits, const vf (&z)[kSums]) {
        vf all[kSums] = {z[0], z[1], z[2]};
        for (int gate = 0; gate < kGates; ++gate) edits.apply(kPre[gate], all[gate]);
        return Gates(all);
    }
};

template <int>
struct Cells {
    void add(vf c, const Gates& gates, element* to, std::int64_t lanes) { store(to, gates.o * tanh(c), lanes); }
    void store_hidden() const {}
};

}  // namespace coupled
}  // namespace
}  // namespace hiddenstate
