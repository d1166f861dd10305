// The equations of one step, for one vector of units of one row; and their edits.
#pragma once

#include "kernel/edits.h"
#include "kernel/tile.h"
#include "kernel/vec.h"

namespace hiddenstate {
namespace {

struct Gates {
    vf i, f, g, o;

    // From the pre-activations, in torch's order.
    explicit Gates(const vf (&z)[kGates]) : i(sigmoid(z[0])), f(sigmoid(z[1])), g(tanh(z[2])), o(sigmoid(z[3])) {}

    // Of a row's gates, H numbers each, those of some units.
    Gates(const real* from, std::int64_t H, std::int64_t lanes)
        : i(load(from, lanes)), f(load(from + H, lanes)), g(load(from + 2 * H, lanes)), o(load(from + 3 * H, lanes)) {}

    // To a record, which nothing reads soon.
    void store_to(real* to, std::int64_t H, std::int64_t lanes) const {
        store_past_cache(to, i, lanes), store_past_cache(to + H, f, lanes);
        store_past_cache(to + 2 * H, g, lanes), store_past_cache(to + 3 * H, o, lanes);
    }
};

struct State {
    vf c, h;

    static vf cell(const Gates& gates, vf c_before) { return gates.f * c_before + gates.i * gates.g; }

    static State over(vf c, const Gates& gates) { return {c, gates.o * tanh(c)}; }

    static State of(const Gates& gates, vf c_before) { return over(cell(gates, c_before), gates); }
};

// The edits that touch some units of one row at one step.
struct EditedRow {
    const Edits<real>* edits;
    std::int64_t t, n, u, lanes;

    void apply(Place place, vf& v) const {
        edits->each(place, t, n, u, lanes, [&v](std::int64_t lane, Kind kind, real value) {
            v[lane] = kind == Kind::set ? value : kind == Kind::scale ? v[lane] * value : v[lane] + value;
        });
    }

    Gates gates(const vf (&z)[kGates]) const {
        vf edited[kGates] = {z[0], z[1], z[2], z[3]};
        for (int g = 0; g < kGates; ++g) apply(static_cast<Place>(kIPre + g), edited[g]);
        return Gates(edited);
    }

    void apply(Gates& gates) const {
        apply(kI, gates.i), apply(kF, gates.f), apply(kG, gates.g), apply(kO, gates.o);
    }

    // The edits of h are left to whoever knows it: with a projection that is not this.
    State state(const Gates& edited, vf c_before) const {
        vf c = State::cell(edited, c_before);
        apply(kC, c);
        return State::over(c, edited);
    }

    // From the gradient of an edited value to that of the value before its edits.
    void undo(Place place, vf& gradient) const {
        edits->each(place, t, n, u, lanes, [&gradient](std::int64_t lane, Kind kind, real value) {
            if (kind == Kind::set) gradient[lane] = 0;
            if (kind == Kind::scale) gradient[lane] *= value;
        });
    }
};

}  // namespace
}  // namespace hiddenstate
