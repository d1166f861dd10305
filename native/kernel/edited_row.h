// Applies edits to the values of one step, for one vector of units of one row.
#pragma once

#include "kernel/edits.h"
#include "kernel/vec.h"

namespace hiddenstate {
namespace {

// The edits that affect some units of one row at one step.
struct EditedRow {
    const Edits<real>* edits;
    std::int64_t t, n, u, lanes;

    void apply(Place place, vf& v) const {
        edits->each(place, t, n, u, lanes, [&v](std::int64_t lane, Kind kind, real value) {
            v[lane] = kind == Kind::set ? value : kind == Kind::scale ? v[lane] * value : v[lane] + value;
        });
    }

    // Converts the gradient of an edited value to that of the value before its edits. The order of edits does not matter here, because each
    // multiplies the gradient by a constant.
    void undo(Place place, vf& gradient) const {
        edits->each(place, t, n, u, lanes, [&gradient](std::int64_t lane, Kind kind, real value) {
            if (kind == Kind::set) gradient[lane] = 0;
            if (kind == Kind::scale) gradient[lane] *= value;
        });
    }
};

}  // namespace
}  // namespace hiddenstate
