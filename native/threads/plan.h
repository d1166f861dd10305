// Plans: the order in which a forward scan multiplies, and how its threads divide the work. All plans of a call give bitwise identical
// results, because each sum is computed by one thread, in the same order.
//
// The rules below depend on the sizes of the call, of a tile and of the caches. If two plans are close, which is faster depends on the
// speed of this machine's caches and on what else it is running, so plan_tuner.h measures them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "platform/caches.h"

namespace hiddenstate {

struct Plan {
    // Whether threads divide the units and wait for one another at each step. Otherwise they divide the rows, and each reads all weights.
    bool units;
    // Whether a step multiplies its inputs and its hidden states in one joined product, reading both matrices. Otherwise the inputs of many
    // steps are multiplied beforehand: W_ih is read once for all of them, but the products must be stored, and read again by the steps.
    bool joins;

    bool operator==(const Plan& o) const { return units == o.units && joins == o.joins; }
};

// The sizes that determine a plan.
struct PlanSizes {
    std::int64_t N, C, H;    // of the call
    int threads;
    std::int64_t tile_rows;  // rows of a full tile
    std::int64_t blocks;     // packed blocks of units, which are divided among threads
    std::int64_t bytes;      // of all weights
    bool may_join;           // whether the scan may join products
};

// Deviations from the rules' plan, tried if another plan is close; flags that can be combined.
enum OtherPlan { kNoOther = 0, kOtherSplit = 1, kOtherProduct = 2, kOtherPlans = 4 };

// The number of rows of a chunk, whose inputs are multiplied at once. Up to a thousand units, there are enough rows to amortise reading
// W_ih, but few enough that the products stay in a cache. If W_ih itself does not fit in a core's cache, more rows are better.
inline std::int64_t chunk_rows(std::int64_t H) { return H < 1024 ? 96 : 192; }

inline Plan plan_of(const PlanSizes& sizes, int other) {
    const std::int64_t threads = sizes.threads, tile = sizes.tile_rows;
    const bool divisible = threads > 1 && sizes.blocks >= threads;
    // Multiplying half a tile of rows takes about as long as reading the weights, and threads that divide the units share the reading; with
    // four tiles or more, arithmetic is the limit. Between the two, dividing the rows is preferred: if another program takes a core,
    // threads that wait at every step are delayed far more.
    const bool few = sizes.N <= tile / 2 * threads, close = !few && sizes.N < 4 * tile * threads;
    Plan plan{divisible && (few || (close && (other & kOtherSplit))), false};
    // The rows that a thread multiplies in a step.
    const std::int64_t rows = plan.units ? sizes.N : sizes.N / threads, bytes = plan.units ? sizes.bytes / threads : sizes.bytes;
    // With less than two tiles, a joined product would read W_ih too often; with chunks of one step, a separate product would read it just
    // as often.
    if (!sizes.may_join || rows < 2 * tile) return plan;
    const bool always = rows >= chunk_rows(sizes.H) || bytes <= bytes_of_own_cache();
    plan.joins = always || (other & kOtherProduct);
    return plan;
}

// In the backward pass, threads wait after each chunk in any case. If they divide the rows, a thread with less than two tiles fills them
// poorly.
inline bool backward_by_units(const PlanSizes& sizes) {
    return sizes.threads > 1 && sizes.blocks >= sizes.threads && sizes.N < 2 * sizes.tile_rows * sizes.threads;
}

}  // namespace hiddenstate
