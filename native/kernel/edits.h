// Edits: changes of gates and states at chosen steps, rows and units during a scan.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernel/kinds.h"

namespace hiddenstate {

enum class Kind : int { set, scale, add };

// One value for each chosen step, row and unit; a stride of zero repeats values along that axis.
template <class Real>
struct Edit {
    using Chosen = std::vector<std::pair<std::int32_t, std::int32_t>>;  // (step or unit, its index among those chosen)

    Place place;
    Kind kind;
    const Real* value;
    std::int64_t step_stride, row_stride, unit_stride;
    Chosen steps, units;  // sorted
};

// Edits of one layer and direction. They are applied in the order in which they were added.
template <class Real>
class Edits {
public:
    explicit Edits(std::int64_t rows) : of_row_(static_cast<std::size_t>(rows)) {}

    void add(Place place, Kind kind, const Real* value, std::int64_t step_stride, std::int64_t row_stride,
             std::int64_t unit_stride, const std::vector<std::int32_t>& steps, const std::vector<std::int32_t>& rows,
             const std::vector<std::int32_t>& units) {
        for (std::size_t k = 0; k < rows.size(); ++k) {
            of_row_.at(static_cast<std::size_t>(rows[k])).push_back({edits_.size(), static_cast<std::int64_t>(k)});
        }
        edits_.push_back({place, kind, value, step_stride, row_stride, unit_stride, sorted(steps), sorted(units)});
    }

    // Whether any edit changes row n at step t.
    bool touches(std::int64_t t, std::int64_t n) const {
        const auto& mine = of_row_[static_cast<std::size_t>(n)];
        return std::any_of(mine.begin(), mine.end(), [&](const Use& use) { return at(edits_[use.edit].steps, t) >= 0; });
    }

    // Calls change(lane, kind, value) for each edit of a place at step t of row n, for units u to u + lanes - 1.
    template <class Change>
    void each(Place place, std::int64_t t, std::int64_t n, std::int64_t u, std::int64_t lanes, Change change) const {
        for (const Use& use : of_row_[static_cast<std::size_t>(n)]) {
            const Edit<Real>& edit = edits_[use.edit];
            if (edit.place != place) continue;
            const std::int64_t step = at(edit.steps, t);
            if (step < 0) continue;
            const Real* value = edit.value + step * edit.step_stride + use.row * edit.row_stride;
            for (auto unit = from(edit.units, u); unit != edit.units.end() && unit->first < u + lanes; ++unit) {
                change(unit->first - u, edit.kind, value[unit->second * edit.unit_stride]);
            }
        }
    }

private:
    using Chosen = typename Edit<Real>::Chosen;

    struct Use {
        std::size_t edit;
        std::int64_t row;  // the row's index among the edit's rows
    };

    // Sorts the steps or units, so that the scan can find them by binary search.
    static Chosen sorted(const std::vector<std::int32_t>& chosen) {
        Chosen found;
        for (std::size_t k = 0; k < chosen.size(); ++k) found.push_back({chosen[k], static_cast<std::int32_t>(k)});
        std::sort(found.begin(), found.end());
        return found;
    }

    // The first entry that is at least `first`.
    static typename Chosen::const_iterator from(const Chosen& chosen, std::int64_t first) {
        return std::lower_bound(chosen.begin(), chosen.end(), std::pair<std::int32_t, std::int32_t>(first, -1));
    }

    // The index of `which` among those chosen, or -1.
    static std::int64_t at(const Chosen& chosen, std::int64_t which) {
        const auto found = from(chosen, which);
        return found != chosen.end() && found->first == which ? found->second : -1;
    }

    std::vector<Edit<Real>> edits_;
    std::vector<std::vector<Use>> of_row_;  // the edits of each row; most rows of a call have none
};

}  // namespace hiddenstate
