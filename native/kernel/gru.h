// The GRU: the equations of one step for a vector of units of one row, and their derivative.
#pragma once

#include "kernel/edited_row.h"
#include "kernel/memoryless.h"
#include "kernel/vec.h"

#define HIDDENSTATE_NONLINEARITIES(X) X(gru, false)

namespace hiddenstate {
namespace {
namespace gru {

constexpr int kGates = 3;         // r, z, n
constexpr int kAcross = 1;
constexpr bool kApart = true;     // n = tanh(n_x + r n_h)
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // r, z, n, n_h
constexpr int kSlopes = 6;        // for r, z, n_x and for r, z, n_h
constexpr int kRecurrent = 3;
constexpr bool kMemory = false;
constexpr bool kDirect = true;
constexpr Place kOutput = kGruH;

// The gates after sigmoid and tanh, and the state's part of n before r.
struct Gates {
    vf r, z, n, n_h;

    Gates() = default;

    // Computes the gates from the sums of r, z, n_x and n_h.
    [[gnu::always_inline]] explicit Gates(const vf (&sums)[kSums], bool = false) : n_h(sums[3]) {
        const vf of[2] = {-sums[0], -sums[1]};
        Exponential e[2];
        exponentials(of, e);
        r = sigmoid_of(e[0]), z = sigmoid_of(e[1]);
        n = tanh(fused(r, n_h, sums[2]));
    }

    // Reads the values of `lanes` units from a record, in which each gate has H elements.
    Gates(const real* from, std::int64_t H, std::int64_t lanes, bool = false)
        : r(load(from, lanes)), z(load(from + H, lanes)), n(load(from + 2 * H, lanes)), n_h(load(from + 3 * H, lanes)) {}

    // Computes the gradients of the sums, `to`, from that of h (d_h). *this holds the values before edits, `after` those after them.
    // d_before becomes the part of the previous state's gradient that does not go through W_hh. For `undo` and `more`, see lstm.h.
    template <class Undo>
    [[gnu::always_inline]] void derivative(const Gates& after, vf d_h, vf, vf h_before, vf& d_before, const Gates* more, const Undo& undo,
                                           vf (&to)[kSlopes]) const {
        const vf one = splat(1);
        // h = n + z (h_before - n)
        vf d_n = d_h * (one - after.z), d_z = d_h * (h_before - after.n);
        d_before = d_h * after.z;
        if (more) d_n += more->n, d_z += more->z;
        undo(kN, d_n), undo(kZ, d_z);
        vf d_n_pre = d_n * (one - n * n), d_z_pre = d_z * z * (one - z);
        undo(kNPre, d_n_pre), undo(kZPre, d_z_pre);
        // n_pre = n_x + r n_h
        vf d_product = d_n_pre;
        undo(kNRH, d_product);
        vf d_r = d_product * after.n_h, d_n_h = d_product * after.r;
        if (more) d_r += more->r, d_n_h += more->n_h;
        undo(kR, d_r), undo(kNH, d_n_h);
        vf d_r_pre = d_r * r * (one - r);
        undo(kRPre, d_r_pre);
        to[0] = to[3] = d_r_pre, to[1] = to[4] = d_z_pre, to[2] = d_n_pre, to[5] = d_n_h;
    }

    // Unused: m is needed only for a projection, which a GRU does not have.
    vf output(vf) const { return vf{}; }

    // Writes the gates to a record.
    void store_to(real* to, std::int64_t H, std::int64_t lanes, bool past_cache) const {
        store_record(to, r, lanes, past_cache), store_record(to + H, z, lanes, past_cache);
        store_record(to + 2 * H, n, lanes, past_cache), store_record(to + 3 * H, n_h, lanes, past_cache);
    }
};

// The hidden state, which is also the memory: c is h.
struct State {
    vf c, h, s;

    // h = n + z (h_before - n), in torch's form.
    static vf cell(const Gates& gates, vf h_before) { return fused(gates.z, h_before - gates.n, gates.n); }

    static State of(const Gates& gates, vf h_before) {
        const vf h = cell(gates, h_before);
        return {h, h, vf{}};
    }
};

template <int most>
using Cells = NoCells<most>;

// The gates before and after edits. Each is computed from values whose edits have already been applied.
struct EditedGates {
    Gates before, after;

    EditedGates(const EditedRow& edits, const vf (&sums)[kSums], bool = false) {
        vf r = sums[0], z = sums[1];
        edits.apply(kRPre, r), edits.apply(kZPre, z);
        before.r = after.r = sigmoid(r), before.z = after.z = sigmoid(z), before.n_h = after.n_h = sums[3];
        edits.apply(kR, after.r), edits.apply(kZ, after.z), edits.apply(kNH, after.n_h);
        vf product = after.r * after.n_h;
        edits.apply(kNRH, product);
        vf n = sums[2] + product;
        edits.apply(kNPre, n);
        before.n = after.n = tanh(n);
        edits.apply(kN, after.n);
    }

    State state(const EditedRow&, vf h_before) const { return State::of(after, h_before); }

    static void apply(const EditedRow& edits, Gates& to) {
        edits.apply(kR, to.r), edits.apply(kZ, to.z), edits.apply(kN, to.n), edits.apply(kNH, to.n_h);
    }
};

}  // namespace gru
}  // namespace
}  // namespace hiddenstate
