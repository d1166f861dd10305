// The code that all kinds of cells share, on the equations of the one that this scan is compiled for.
#pragma once

#include "kernel/this_cell.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

constexpr int kBlockSums = kAcross * kSums;
static_assert(kAcross == 1 || kSums == 1);

// Adjacent units in a vector: the first one, and how many there are.
struct UnitVector {
    std::int64_t u, lanes;
};

// Calls use(units, sums) for each vector of a block's `units`.
template <class Use>
[[gnu::always_inline]] inline void each_vector(const vf (&sums)[kBlockSums], UnitVector units, const Use& use) {
    if constexpr (kAcross == 1) {
        use(units, sums);
    } else {
        for (int v = 0; v < kAcross && v * kLanes < units.lanes; ++v) {
            vf mine[kSums];
            std::copy_n(sums + v * kSums, kSums, mine);
            use(UnitVector{units.u + v * kLanes, std::min<std::int64_t>(kLanes, units.lanes - v * kLanes)}, mine);
        }
    }
}

// Forces inlining of a function; use it only if there are enough registers for its values.
#define HIDDENSTATE_INLINE __attribute__((always_inline))

// Calls use(units, gates) for each vector of units. All gates are computed together, because each is a chain of dependent operations.
template <class Use, class SomeGates = Gates>
[[gnu::always_inline]] inline void each_gates(const vf (&sums)[kBlockSums], bool relu, UnitVector units, const Use& use) {
    if constexpr (kAcross == 1) {
        use(units, SomeGates(sums, relu));
    } else {
        SomeGates gates[kAcross];
        SomeGates::of_block(sums, relu, gates);
        for (int v = 0; v < kAcross && v * kLanes < units.lanes; ++v) {
            use(UnitVector{units.u + v * kLanes, std::min<std::int64_t>(kLanes, units.lanes - v * kLanes)}, gates[v]);
        }
    }
}

// Collects a block's sums from those of its columns and, if the last gate's input part is summed separately, from that part.
inline void with_apart(const vf (&z)[kColumns], vf input, vf (&sums)[kBlockSums]) {
    std::copy_n(z, kColumns, sums);
    if constexpr (kApart) sums[kSums - 1] = sums[kGates - 1], sums[kGates - 1] = input;
}

// Calls use(r, sums of row r) for each row of a tile. The sums start from the input's part, and W_hh h is added. `bias` is the bias of the
// block.
template <class Use>
[[gnu::always_inline]] inline void multiply_recurrent(Height tall, const Factors& recurrent, Start from, const real* bias, const Use& use) {
    if constexpr (!kApart) {
        multiply_columns(tall, {recurrent}, from, use);
    } else {
        Sums begin[kRows];
        for (int r = 0; r < tall.count; ++r) {
            for (int g = 0; g < kGates; ++g) begin[r][g] = g < kGates - 1 ? from.of(r, g) : load(bias + kGates * kLanes);
        }
        multiply_rows(tall, kGates, {recurrent}, from_sums(begin), [&](int r, const Sums& z) {
            vf sums[kBlockSums];
            with_apart(z, from.of(r, kGates - 1), sums);
            use(r, sums);
        });
    }
}

// Like multiply_recurrent, but also computes the input's product: the sums are bias + W_ih x + W_hh h.
template <class Use>
[[gnu::always_inline]] inline void multiply_both(Height tall, const Factors& input, const Factors& recurrent, const real* bias,
                                                 const Use& use) {
    if constexpr (!kApart) {
        multiply_rows(tall, kColumns, {input, recurrent}, {bias, 0}, use);
    } else {
        Sums of_input[kRows];
        multiply_rows(tall, kGates, {input}, {bias, 0}, [&](int r, const Sums& z) { std::copy_n(z, kGates, of_input[r]); });
        multiply_recurrent(tall, recurrent, from_sums(of_input), bias, use);
    }
}

}  // namespace
}  // namespace hiddenstate
