// Runs one step of a cell on unpacked weights. For a few rows, packing would take longer than the products; for many, each block of weights
// is packed into memory that stays in the cache, and then multiplied by all rows.
//
// For few rows, kLanes rows of weights are multiplied by one vector, a few rows at a time, with one register of partial sums per row.
// Transposing and adding these registers gives one sum per lane: the pre-activations of a vector of units.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernel/cell.h"
#include "kernel/pack.h"
#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "threads/thresholds.h"

namespace hiddenstate {
namespace {

// Keeps the lanes from `first` on, and sets the others to zero.
inline vf lanes_from(vf v, std::int64_t first) {
    vi lane;
    for (int j = 0; j < kLanes; ++j) lane[j] = j;
    return from_bits(bits(v) & (vi)(lane >= static_cast<whole>(first)));
}

// The number of rows that are read at the same time. Reading long pieces of a few rows is faster from the L2 cache than reading all rows of
// a vector at once, but short vectors need enough rows that additions don't wait for one another. bfloat16 is limited by conversion, not by
// loads, so all rows are read, one vector at a time.
constexpr bool kInPieces = std::is_same_v<element, real>;
constexpr int kRowsAtOnce = !kInPieces ? kLanes : kLanes < 16 ? std::min(4, kLanes) : 2;

// Adds to `sums` the products of a few rows of a matrix with x, for `Vectors` vectors from the k-th element on.
template <int Vectors>
inline void add_vectors(const element* const* rows, const element* x, std::int64_t k, vf (&sums)[kRowsAtOnce]) {
    vf input[Vectors];
    for (int v = 0; v < Vectors; ++v) input[v] = load(x + k + v * kLanes, kLanes);
    for (int j = 0; j < kRowsAtOnce; ++j) {
        const element* row = rows[j] + k;
        for (int v = 0; v < Vectors; ++v) sums[j] = fused(load(row + v * kLanes, kLanes), input[v], sums[j]);
    }
}

// Adds the products of the elements from k to K, fewer than a vector.
inline void add_last(const element* const* rows, const element* x, std::int64_t k, std::int64_t K, vf (&sums)[kRowsAtOnce]) {
    if (K < kLanes) {
        const vf input = load(x, K);
        for (int j = 0; j < kRowsAtOnce; ++j) sums[j] = fused(load(rows[j], K), input, sums[j]);
        return;
    }
    // Reads the last whole vector of each row; its first lanes have already been added.
    const std::int64_t last = K - kLanes, added = k - last;
    const vf input = lanes_from(load(x + last, kLanes), added);
    for (int j = 0; j < kRowsAtOnce; ++j) {
        sums[j] = fused(lanes_from(load(rows[j] + last, kLanes), added), input, sums[j]);
    }
}

#if defined(__clang__)
#define HIDDENSTATE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HIDDENSTATE_UNROLL _Pragma("GCC unroll 16")
#endif

// Adds to `sums` the products of the rows of a matrix that begin at `rows` with x, K numbers each.
inline void add_products(const element* const (&rows)[kLanes], const element* x, std::int64_t K, vf (&sums)[kLanes]) {
    HIDDENSTATE_UNROLL  // otherwise the sums of the other rows would be spilled to memory
    for (int first = 0; first < kLanes; first += kRowsAtOnce) {
        const element* const* at = rows + first;
        vf few[kRowsAtOnce];
        for (int j = 0; j < kRowsAtOnce; ++j) few[j] = sums[first + j];
        std::int64_t k = 0;
        if constexpr (kInPieces) {
            for (; k + 8 * kLanes <= K; k += 8 * kLanes) add_vectors<8>(at, x, k, few);
            for (; k + 4 * kLanes <= K; k += 4 * kLanes) add_vectors<4>(at, x, k, few);
        }
        for (; k + kLanes <= K; k += kLanes) add_vectors<1>(at, x, k, few);
        if (k < K) add_last(at, x, k, K, few);
        for (int j = 0; j < kRowsAtOnce; ++j) sums[first + j] = few[j];
    }
}

#undef HIDDENSTATE_UNROLL

// Sums each vector: lane j of the result is the sum of vector j.
inline vf sum_of_each(vf (&sums)[kLanes]) {
    transpose(sums);
    for (int width = kLanes / 2; width > 0; width /= 2) {
        for (int j = 0; j < width; ++j) sums[j] += sums[j + width];
    }
    return sums[0];
}

constexpr std::int64_t kCellRecord = kRecord + kMemory;

// One step of `lanes` units, starting at unit u.
struct CellUnits {
    const CellStep<HIDDENSTATE_PRECISION>& step;
    std::int64_t u, lanes;

    // Runs the step for all rows, reading the weights row by row.
    void run() const {
        for (std::int64_t n = 0; n < step.N; ++n) {
            vf sums[kBlockSums] = {};
            for (int v = 0; v < kAcross && v * kLanes < lanes; ++v) {
                for (int g = 0; g < kGates; ++g) sums_of(g, n, vector(v), sums + v * kSums);
            }
            finish(n, sums);
        }
    }

    void finish(std::int64_t n, const vf (&sums)[kBlockSums]) const {
        const element* const before = kMemory ? step.c : step.h;
        each_gates(sums, step.relu, {u, lanes}, [&](UnitVector mine, const Gates& gates) HIDDENSTATE_INLINE {
            const std::int64_t at = n * step.H + mine.u;
            const State state = State::of(gates, before ? load(before + at, mine.lanes) : vf{});
            if (step.record) {
                real* const to = step.record + n * kCellRecord * step.H + mine.u;
                gates.store_to(to, step.H, mine.lanes, false);
                if (kMemory) store(to + kRecord * step.H, state.s, mine.lanes);
            }
            if (kMemory) store(step.new_c + at, state.c, mine.lanes);
            store(step.new_h + at, state.h, mine.lanes);
        });
    }

    // The v-th vector of the units, which may be empty.
    UnitVector vector(int v) const { return {u + v * kLanes, std::clamp<std::int64_t>(lanes - v * kLanes, 0, kLanes)}; }

    // The bias of a gate, or zeros.
    vf bias(const element* of, std::int64_t gate, UnitVector at) const { return of ? load(of + gate * step.H + at.u, at.lanes) : vf{}; }

private:
    // Computes a gate's sum, or both of its sums if the input and recurrent parts are separate.
    void sums_of(std::int64_t gate, std::int64_t n, UnitVector at, vf* to) const {
        vf sums[kLanes] = {};
        const bool apart = kApart && gate == kGates - 1;
        for (const bool recurrent : {false, true}) {  // a loop, so that `add`, which is long, is compiled once
            if (recurrent && apart) {
                to[gate] = sum_of_each(sums) + bias(step.b_ih, gate, at);
                std::fill_n(sums, kLanes, vf{});
            }
            const std::int64_t K = recurrent ? step.H : step.C;
            const element* const x = recurrent ? step.h : step.x;
            if (x) add(recurrent ? step.hh : step.ih, gate, at, x + n * K, K, sums);
        }
        vf z = sum_of_each(sums);
        if (!apart) z += bias(step.b_ih, gate, at);
        to[apart ? kSums - 1 : gate] = z + bias(step.b_hh, gate, at);
    }

    void add(const element* w, std::int64_t gate, UnitVector at, const element* x, std::int64_t K, vf (&sums)[kLanes]) const {
        const element* rows[kLanes];
        // Missing rows repeat the last row; their sums are not used.
        for (std::int64_t j = 0; j < kLanes; ++j) rows[j] = w + (gate * step.H + at.u + std::min(j, at.lanes - 1)) * K;
        add_products(rows, x, K, sums);
    }
};

// One step for all rows, on a block of weights that is packed first.
struct PackedCellUnits {
    const CellUnits& units;
    const packed* w;
    real bias[kBiases];

    PackedCellUnits(const CellUnits& units, packed* to) : units(units), w(to) {
        const auto& step = units.step;
        pack_gates(step.ih, step.C, step.H, units.u, to);
        if (step.h) pack_gates(step.hh, step.H, step.H, units.u, to + kTile * depth(step.C));
        for (int v = 0; v < kColumns; ++v) {
            const int g = v % kGates;
            const UnitVector at = units.vector(v / kGates);
            const vf of_x = units.bias(step.b_ih, g, at), of_h = units.bias(step.b_hh, g, at);
            const bool apart = kApart && g == kGates - 1;
            store(bias + v * kLanes, apart ? of_x : of_x + of_h);
            if (apart) store(bias + (kSums - 1) * kLanes, of_h);
        }
    }

    void run(Height tall, std::int64_t first) const {
        const auto& step = units.step;
        const element *x[kRows] = {}, *h[kRows] = {};
        for (int r = 0; r < tall.count; ++r) x[r] = step.x + (first + r) * step.C, h[r] = step.h + (step.h ? (first + r) * step.H : 0);
        // Without a state, the recurrent product has no terms.
        multiply_both(tall, {x, step.C, w}, {h, step.h ? step.H : 0, w + kTile * depth(step.C)}, bias,
                      [&](int r, const vf (&sums)[kBlockSums]) { units.finish(first + r, sums); });
    }
};

// Memory for a block of packed weights; each thread reuses its own from step to step.
inline packed* block_memory(std::int64_t size) {
    thread_local std::vector<packed> memory;
    memory.resize(std::max(memory.size(), static_cast<std::size_t>(size) + kLanes));
    const auto past = reinterpret_cast<std::uintptr_t>(memory.data()) % HIDDENSTATE_BYTES;
    return memory.data() + (past ? (HIDDENSTATE_BYTES - past) / sizeof(packed) : 0);
}

inline void cell_step(const CellStep<HIDDENSTATE_PRECISION>& step) {
    const std::int64_t count = blocks(step.H, kUnits);
    const bool packs = step.N > kUnpackedRows<HIDDENSTATE_PRECISION>;
    const int threads = static_cast<int>(std::clamp<std::int64_t>(step.threads, 1, count));
    run_parallel(threads, false, [&](int k) {
        const Range mine = part(count, k, threads);
        for (std::int64_t b = 0; b < mine.size(); ++b) {
            const std::int64_t u = (step.from_last ? mine.last - 1 - b : mine.first + b) * kUnits;
            const CellUnits units{step, u, std::min<std::int64_t>(kUnits, step.H - u)};
            if (!packs) {
                units.run();
                continue;
            }
            for_tiles(step.N, PackedCellUnits(units, block_memory(kTile * (depth(step.C) + depth(step.H)))));
        }
    });
}

}  // namespace
}  // namespace hiddenstate
