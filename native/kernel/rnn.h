// The plain RNN, with tanh or relu: the equation of one step for a vector of units of one row, and its derivative.
#pragma once

#include "kernel/edited_row.h"
#include "kernel/memoryless.h"
#include "kernel/vec.h"

#define HIDDENSTATE_NONLINEARITIES(X) X(rnn_tanh, false) X(rnn_relu, true)

namespace hiddenstate {
namespace {
namespace rnn {

constexpr int kGates = 1;         // h itself
constexpr int kAcross = 4;
constexpr bool kApart = false;
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 1;        // h before edits
constexpr int kSlopes = 1;
constexpr int kRecurrent = 0;
constexpr bool kMemory = false;
constexpr bool kDirect = false;
constexpr Place kOutput = kRnnH;

// The single gate, which is the new hidden state.
struct Gates {
    vf h;
    bool relu;

    Gates() = default;

    [[gnu::always_inline]] explicit Gates(const vf (&sums)[kSums], bool relu)
        : h(relu ? greatest(splat(0), sums[0]) : tanh(sums[0])), relu(relu) {}

    // Computes the gates of all vectors of a block.
    [[gnu::always_inline]] static void of_block(const vf (&sums)[kAcross], bool relu, Gates (&to)[kAcross]) {
        vf h[kAcross];
        if (relu) {
            for (int v = 0; v < kAcross; ++v) h[v] = greatest(splat(0), sums[v]);
        } else {
            tanh(sums, h);
        }
        for (int v = 0; v < kAcross; ++v) to[v].h = h[v], to[v].relu = relu;
    }

    // Reads the values of `lanes` units from a record.
    Gates(const real* from, std::int64_t, std::int64_t lanes, bool relu = false) : h(load(from, lanes)), relu(relu) {}

    // Computes the gradient of the sum, `to`, from that of h (d_h). *this holds the value before edits. For `undo` and `more`, see lstm.h.
    template <class Undo>
    [[gnu::always_inline]] void derivative(const Gates&, vf d_h, vf, vf, vf&, const Gates* more, const Undo& undo,
                                           vf (&to)[kSlopes]) const {
        if (more) d_h += more->h;
        // tanh' = 1 - y^2. relu' is 0 for y <= 0, and 1 for NaN, as in torch.
        to[0] = relu ? (h <= splat(0) ? vf{} : d_h) : d_h * (splat(1) - h * h);
        undo(kHPre, to[0]);
    }

    // Unused: m is needed only for a projection, which a plain RNN does not have.
    vf output(vf) const { return vf{}; }

    // Writes the gate to a record.
    void store_to(real* to, std::int64_t, std::int64_t lanes, bool past_cache) const { store_record(to, h, lanes, past_cache); }
};

// The hidden state, which is also the memory: c is h.
struct State {
    vf c, h, s;

    static vf cell(const Gates& gates, vf) { return gates.h; }

    static State of(const Gates& gates, vf) { return {gates.h, gates.h, vf{}}; }
};

template <int most>
using Cells = NoCells<most>;

// The state before its edits, computed from an edited sum. Edits to the state itself are applied when it is stored.
struct EditedGates {
    Gates before, after;

    EditedGates(const EditedRow& edits, const vf (&sums)[kSums], bool relu) {
        vf sum[kSums] = {sums[0]};
        edits.apply(kHPre, sum[0]);
        before = after = Gates(sum, relu);
    }

    State state(const EditedRow&, vf h_before) const { return State::of(after, h_before); }

    static void apply(const EditedRow&, Gates&) {}
};

}  // namespace rnn
}  // namespace
}  // namespace hiddenstate
