// The derivative of one step of a cell, computed on unpacked weights.
#pragma once

#include <algorithm>

#include "kernel/cell.h"
#include "kernel/cell_step.h"
#include "kernel/input_gradients.h"
#include "kernel/pack_columns.h"
#include "kernel/scan.h"
#include "kernel/thread_setup.h"

namespace hiddenstate {
namespace {

using CellDerivative = CellGradients<HIDDENSTATE_PRECISION>;

// The gradients of some units' pre-activations and previous cell states.
inline void unit_gradients(const CellDerivative& step, std::int64_t n, std::int64_t u) {
    const std::int64_t H = step.H, at = n * H + u, lanes = std::min<std::int64_t>(kLanes, H - u);
    const auto given = [&](const element* from) { return from ? load(from + at, lanes) : vf{}; };
    const real* const record = step.record + n * kCellRecord * H + u;
    const Gates gates(record, H, lanes, step.relu);
    vf d_memory = given(step.d_new_c), d_z[kSlopes];
    const vf s = kMemory ? load(record + kRecord * H, lanes) : vf{};
    gates.derivative(gates, given(step.d_new_h), s, given(step.memory), d_memory, nullptr, [](Place, vf&) {}, d_z);
    // If h also reaches the next h without W_hh, this is that part of its gradient, and the product with W_hh is added to it.
    if (element* const to = kMemory ? step.d_c : kDirect ? step.d_h : nullptr) store(to + at, d_memory, lanes);
    for (int slope = 0; slope < kSlopes; ++slope) store(step.d_z + (n * kSlopes + slope) * H + u, d_z[slope], lanes);
}

// A tile of d_z W, for unpacked weights [K, columns], and a block of columns, of which `w` points at the first.
struct UnpackedTile {
    const element* const* gradients;  // K elements for each row
    std::int64_t K, columns;
    const element* w;
    element* to;
    bool adds;

    void run(Height tall, std::int64_t first) const {
        Sums acc[kRows];
        for (int r = 0; adds && r < tall.count; ++r) {
            for (int v = 0; v < kColumns; ++v) acc[r][v] = load(to + (first + r) * columns + v * kLanes, kLanes);
        }
        const Factors factors[] = {{gradients + first, K, reinterpret_cast<const packed*>(w), 1, columns}};
        multiply(tall, kColumns, factors, adds ? from_sums(acc) : kFromZero, acc);
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < kColumns; ++v) store(to + (first + r) * columns + v * kLanes, acc[r][v], kLanes);
        }
    }
};

// Computes to = d_z W, or to += d_z W, for the blocks of columns in `mine` and the gradients from `column` of d_z on. For few rows, it
// reads the weights in place; for more, it packs each block first.
inline void multiply_gradients(const CellDerivative& step, std::int64_t column, const element* w, std::int64_t columns, Range mine,
                               element* to, bool adds) {
    const std::int64_t K = kGates * step.H;
    std::vector<const element*> rows;
    std::vector<std::int64_t> at;
    for (std::int64_t n = 0; n < step.N; ++n) rows.push_back(step.d_z + n * kSlopes * step.H + column), at.push_back(n);
    for (std::int64_t b = mine.first; b < mine.last; ++b) {
        const std::int64_t u = b * kTile, left = std::min<std::int64_t>(columns - u, kTile);
        if (!kPairs && left == kTile && step.N <= 2 * kVectorRows) {
            for_tiles(step.N, false, UnpackedTile{rows.data(), K, columns, w + u, to + u, adds});
            continue;
        }
        packed* const block = block_memory(kTile * depth(K));
        pack_columns(w, K, columns, u, block);
        const InputGradient<element> product{rows.data(), K, block - b * kTile * depth(K), at.data(), to, columns, adds};
        product.run(step.N, {u, u + left}, false);
    }
}

inline void cell_gradients(const CellDerivative& step) {
    const std::int64_t count = step.N * blocks(step.H, kLanes), each = blocks(step.H, kLanes);
    // Two parallel regions, because the products read the gradients of all units.
    run_parallel(static_cast<int>(std::clamp<std::int64_t>(step.threads, 1, step.N)), false, [&](int k) {
        const int threads = static_cast<int>(std::clamp<std::int64_t>(step.threads, 1, step.N));
        const Range mine = part(count, k, threads);
        for (std::int64_t i = mine.first; i < mine.last; ++i) unit_gradients(step, i / each, i % each * kLanes);
    });
    const std::int64_t of_x = step.d_x ? blocks(step.C, kTile) : 0, of_h = step.d_h ? blocks(step.H, kTile) : 0;
    const int threads = static_cast<int>(std::clamp<std::int64_t>(step.threads, 1, std::max<std::int64_t>(of_x + of_h, 1)));
    run_parallel(threads, false, [&](int k) {
        const Range mine = part(of_x + of_h, k, threads);
        multiply_gradients(step, kRecurrent * step.H, step.hh, step.H, {std::min(mine.first, of_h), std::min(mine.last, of_h)}, step.d_h, kDirect);
        multiply_gradients(step, 0, step.ih, step.C, {std::max(mine.first - of_h, {}), std::max(mine.last - of_h, {})}, step.d_x, false);
    });
}

}  // namespace
}  // namespace hiddenstate
