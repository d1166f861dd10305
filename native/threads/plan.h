// Plans: in which order a forward scan multiplies, and how its threads divide it. All plans of a call give the same bits, because each sum
// is computed by one thread, in the same order.
//
// The rules below follow from the sizes of the call, of a tile and of the caches. Where two plans are close, which one is faster depends on
// how fast this machine reads its caches, and on what else it does: plan_tuner.h measures them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "platform/caches.h"

namespace hiddenstate {

struct Plan {
    // Threads divide the units and wait for one another at each step. Otherwise they divide the rows, and each reads all weights.
    bool units;
    // A step multiplies its inputs and its hidden states by one product, and reads both matrices. Otherwise the inputs of many steps are
    // multiplied beforehand: W_ih is read once for all of them, but their products are stored, and read by the steps.
    bool joins;

    bool operator==(const Plan& o) const { return units == o.units && joins == o.joins; }
};

// What a plan follows from.
struct PlanSizes {
    std::int64_t N, C, H;    // of the call
    int threads;
    std::int64_t tile_rows;  // rows of a full tile
    std::int64_t blocks;     // packed blocks of units, which threads can divide
    std::int64_t bytes;      // of all weights
    bool may_join;           // whether the scan has a joined product
};

// Deviations from the plan of the rules, where another one is close; they add up.
enum OtherPlan { kNoOther = 0, kOtherSplit = 1, kOtherProduct = 2, kOtherPlans = 4 };

// The rows of a chunk whose inputs are multiplied at once: enough to read W_ih once for many, few enough that their products stay in a
// cache, up to a thousand units. If W_ih itself does not fit into a core's cache, more rows are better.
inline std::int64_t chunk_rows(std::int64_t H) { return H < 1024 ? 96 : 192; }

inline Plan plan_of(const PlanSizes& sizes, int other) {
    const std::int64_t threads = sizes.threads, tile = sizes.tile_rows;
    const bool divisible = threads > 1 && sizes.blocks >= threads;
    // Half a tile of rows takes as long as reading the weights, which threads by units divide; with four tiles or more arithmetic is the
    // limit. Between the two, rows come first: another program that takes a core delays threads that wait at each step far more.
    const bool few = sizes.N <= tile / 2 * threads, close = !few && sizes.N < 4 * tile * threads;
    Plan plan{divisible && (few || (close && (other & kOtherSplit))), false};
    // The rows that a thread multiplies in a step.
    const std::int64_t rows = plan.units ? sizes.N : sizes.N / threads, bytes = plan.units ? sizes.bytes / threads : sizes.bytes;
    // Less than two tiles read W_ih too often; a chunk of one step reads it no less often.
    if (!sizes.may_join || rows < 2 * tile) return plan;
    const bool always = rows >= chunk_rows(sizes.H) || bytes <= bytes_of_own_cache();
    plan.joins = always || (other & kOtherProduct);
    return plan;
}

// Backward, threads wait after each chunk in any case; by rows, a thread with less than two tiles has poorly filled ones.
inline bool backward_by_units(const PlanSizes& sizes) {
    return sizes.threads > 1 && sizes.blocks >= sizes.threads && sizes.N < 2 * sizes.tile_rows * sizes.threads;
}

}  // namespace hiddenstate
