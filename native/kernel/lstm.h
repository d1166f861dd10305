// The LSTM: the equations of one step for a vector of units of one row, and their derivative.
#pragma once

#include "kernel/edited_row.h"
#include "kernel/vec.h"

#define HIDDENSTATE_NONLINEARITIES(X) X(lstm, false)  // the scans to define, and whether each is that of relu

namespace hiddenstate {
namespace {
namespace lstm {

constexpr int kGates = 4;         // rows per unit in W_ih and W_hh
constexpr int kAcross = 1;        // vectors of units in a packed block: enough to fill the registers of a tile with sums
constexpr bool kApart = false;    // whether the last gate's recurrent part and input part are summed separately
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // values per unit in a record; they are called gates
constexpr int kSlopes = 4;        // gradients of pre-activations per unit; those for W_ih x come first
constexpr int kRecurrent = 0;     // the index of the first gradient for W_hh h
constexpr bool kMemory = true;    // whether there is a cell state besides the hidden state
constexpr bool kDirect = false;   // whether the hidden state also affects the next one directly, without W_hh
constexpr Place kOutput = kH;

// The four gates, after sigmoid and tanh.
struct Gates {
    vf i, f, g, o;

    // Computes the gates from the pre-activations, which are in torch's order.
    [[gnu::always_inline]] explicit Gates(const vf (&z)[kSums], bool = false) {
        const vf of[kSums] = {-z[0], -z[1], z[2] + z[2], -z[3]};
        Exponential e[kSums];
        exponentials(of, e);
        i = sigmoid_of(e[0]), f = sigmoid_of(e[1]), g = tanh_of(z[2], e[2]), o = sigmoid_of(e[3]);
    }

    // Reads the gates of `lanes` units from a row, where each gate has H elements.
    Gates(const real* from, std::int64_t H, std::int64_t lanes, bool = false)
        : i(load(from, lanes)), f(load(from + H, lanes)), g(load(from + 2 * H, lanes)), o(load(from + 3 * H, lanes)) {}

    // Computes the gradients of the pre-activations, `to`, from those of m = o tanh(c) (d_m) and of c (d_c, which becomes that of
    // c_before); s = tanh(c). *this holds the gates before edits, `after` those after them. `undo(place, gradient)` converts the gradient
    // of an edited value to that of the value before the edit. `more` holds gradients to add to those of the gates, or is null.
    template <class Undo>
    [[gnu::always_inline]] void derivative(const Gates& after, vf d_m, vf s, vf c_before, vf& d_c, const Gates* more, const Undo& undo,
                                           vf (&to)[kSlopes]) const {
        const vf one = splat(1);
        d_c += d_m * after.o * (one - s * s);
        undo(kC, d_c);
        // c = f c_before + i g
        vf d_i = d_c * after.g, d_f = d_c * c_before, d_g = d_c * after.i, d_o = d_m * s;
        d_c *= after.f;
        if (more) d_i += more->i, d_f += more->f, d_g += more->g, d_o += more->o;
        undo(kI, d_i), undo(kF, d_f), undo(kG, d_g), undo(kO, d_o);
        // sigmoid' = y (1 - y), tanh' = 1 - y^2
        to[0] = d_i * i * (one - i), to[1] = d_f * f * (one - f), to[2] = d_g * (one - g * g), to[3] = d_o * o * (one - o);
        for (int gate = 0; gate < kGates; ++gate) undo(kIPre + gate, to[gate]);
    }

    // m = o tanh(c), from s = tanh(c).
    vf output(vf s) const { return o * s; }

    // Writes the gates to a record.
    void store_to(real* to, std::int64_t H, std::int64_t lanes, bool past_cache) const {
        store_record(to, i, lanes, past_cache), store_record(to + H, f, lanes, past_cache);
        store_record(to + 2 * H, g, lanes, past_cache), store_record(to + 3 * H, o, lanes, past_cache);
    }
};

struct State {
    vf c, h, s;  // s = tanh(c)

    // c = f c_before + i g. The fused multiply-add is explicit, because a compiler's choice would depend on the number of rows of a tile.
    static vf cell(const Gates& gates, vf c_before) { return fused(gates.f, c_before, gates.i * gates.g); }

    // h = o tanh(c)
    static State from_cell(vf c, const Gates& gates) {
        const vf s = tanh(c);
        return {c, gates.o * s, s};
    }

    static State of(const Gates& gates, vf c_before) { return from_cell(cell(gates, c_before), gates); }
};

// The gates before and after their edits, computed from edited pre-activations.
struct EditedGates {
    Gates before, after;

    EditedGates(const EditedRow& edits, const vf (&z)[kSums], bool = false) : before(edited(edits, z)), after(before) { apply(edits, after); }

    static void apply(const EditedRow& edits, Gates& to) {
        edits.apply(kI, to.i), edits.apply(kF, to.f), edits.apply(kG, to.g), edits.apply(kO, to.o);
    }

    // The new states, with c edited. With a projection, h is m here, and the caller edits h after projecting.
    State state(const EditedRow& edits, vf c_before) const {
        vf c = State::cell(after, c_before);
        edits.apply(kC, c);
        return State::from_cell(c, after);
    }

private:
    static Gates edited(const EditedRow& edits, const vf (&z)[kSums]) {
        vf all[kSums] = {z[0], z[1], z[2], z[3]};
        for (int g = 0; g < kGates; ++g) edits.apply(kIPre + g, all[g]);
        return Gates(all);
    }
};

// Cells with known gates and c, whose h = o tanh(c) are computed together: each tanh is a chain of dependent operations, and the other
// cells' operations fill the gaps.
template <int Most>
class Cells {
public:
    // `to`: the destination of the first `lanes` elements of h.
    void add(vf c, const Gates& gates, element* to, std::int64_t lanes) {
        c_[count_] = c, o_[count_] = gates.o, to_[count_] = to, lanes_[count_] = lanes;
        ++count_;
    }

    void store_hidden() const {
        int first = 0;
        for (; first + kTogether < count_; first += kTogether) store_some<kTogether>(first);
        store_last<kTogether>(first);
    }

private:
    static constexpr int kTogether = Most <= 6 ? Most : 4;  // as many as fit into registers

    // Stores the last cells, at most `Count` of them.
    template <int Count>
    void store_last(int first) const {
        if (count_ - first == Count) return store_some<Count>(first);
        if constexpr (Count > 1) store_last<Count - 1>(first);
    }

    template <int Count>
    void store_some(int first) const {
        vf c[Count], s[Count];
        for (int k = 0; k < Count; ++k) c[k] = c_[first + k];
        tanh(c, s);
        for (int k = 0; k < Count; ++k) store(to_[first + k], o_[first + k] * s[k], lanes_[first + k]);
    }

    int count_ = 0;
    vf c_[Most], o_[Most];
    element* to_[Most];
    std::int64_t lanes_[Most];
};

}  // namespace lstm
}  // namespace
}  // namespace hiddenstate
