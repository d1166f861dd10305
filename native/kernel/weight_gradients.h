// The gradients of weights: products of gradients and inputs, summed over the rows of all chunks.
#pragma once

#include "kernel/pack.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// A tile of a weight's gradient: of some gradients and V vectors of inputs the products, summed over the rows of a chunk.
template <int V>
struct WeightTile {
    const packed* gradients;  // as BackwardShare::turned gives them
    std::int64_t gradients_step;
    const packed* inputs;  // a block of WeightGradient
    std::int64_t depth;
    real* sums;
    std::int64_t sums_step, left;  // of a row of the sums; of these, from the block on
    bool begins;                   // nothing is in the sums yet

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][V];
        clear(tall, acc);
        real* at = sums + first * sums_step;
        for (int r = 0; !begins && r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) acc[r][v] = load(at + r * sums_step + v * kLanes, left - v * kLanes);
        }
        multiply(tall, first, acc);
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) store(at + r * sums_step + v * kLanes, acc[r][v], left - v * kLanes);
        }
    }

    template <int R>
    void multiply(Exactly<R> tall, std::int64_t first, vf (&acc)[R][V]) const {
        outer_tile(tall, gradients + first, gradients_step, inputs, kTile, depth, acc);
    }

#ifdef __AMX_BF16__
    void multiply(UpTo tall, std::int64_t first, vf (&acc)[kRows][V]) const {
        const element* rows[kRows] = {};
        for (int r = 0; r < tall.count; ++r) {
            // Pairs, as they are multiplied.
            rows[r] = reinterpret_cast<const element*>(gradients + (first + r) * gradients_step);
        }
        tile(tall, rows, 2 * depth, inputs, acc);
    }
#endif
};

// The gradient of a matrix [gradients, columns], W in z = W x: the sum over the rows of all chunks of dz (so many gradients)
// times x (so many inputs, a column each).
struct WeightGradient {
    element* const to;  // or null: it is not asked for
    const std::int64_t columns;

    WeightGradient(element* to, std::int64_t gradients, std::int64_t columns, std::int64_t rows)
        : to(to), columns(columns), depth_(depth(rows)), inputs_(to ? matrix_size(rows, columns) : 0),
          sums_(to && kPairs ? gradients * columns : 0) {}

    // A chunk's inputs from the u-th on: [depth(rows), kTile], packed as weights are.
    packed* block(std::int64_t u) const { return inputs_.data() + u / kTile * kTile * depth_; }

    // The k-th row of all blocks; of pairs, two rows.
    void put(std::int64_t k, const element* a, const element* b) const {
        for (std::int64_t u = 0; u < columns; u += kTile) {
            const std::int64_t count = std::min<std::int64_t>(kTile, columns - u);
            packed* row = block(u) + k * kTile;
            interleave(a + u, b + u, count, row);
            std::fill(row + count, row + blocks(count, kLanes) * kLanes, packed{});
        }
    }

    // Where the sums are: the gradient itself, or where its elements are no reals, in between.
    real* sums() const {
        if constexpr (kPairs) return sums_.data();
        else return reinterpret_cast<real*>(to);  // of one type here
    }

private:
    const std::int64_t depth_;
    const Buffer<packed> inputs_;
    const Buffer<real> sums_;
};

// Numbers that a row of so many takes: whole blocks, and apart by an odd number of cache lines, so that rows do not fall on the
// same cache sets.
inline std::int64_t padded(std::int64_t columns) { return blocks(columns, kTile) * kTile + kLanes; }

}  // namespace
}  // namespace hiddenstate
