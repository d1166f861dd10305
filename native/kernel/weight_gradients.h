// The gradient of a weight matrix: for z = W x, dW = dz^T x, summed over the rows of all chunks.
#pragma once

#include "kernel/pack_columns.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// A tile of the sum over a chunk's rows: some of the gradients times V vectors of the inputs.
template <int V>
struct WeightTile {
    const packed* gradients;  // in the form that ChunkProducts::pack returns
    std::int64_t gradients_step;
    const packed* inputs;  // a block of WeightGradient
    std::int64_t depth;
    real* sums;
    std::int64_t sums_step, left;  // the distance from one row of the sums to the next; how many columns the tile writes
    bool is_first;                 // whether the sums are still uninitialised

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][V];
        clear(tall, acc);
        real* at = sums + first * sums_step;
        // Prefetches the sums of the next tile: all sums together are as large as the weights, which seldom fit in a core's cache.
        for (int r = tall.count; r < 2 * tall.count; ++r) {
            for (int v = 0; v < V; ++v) __builtin_prefetch(at + r * sums_step + v * kLanes, 1);
        }
        multiply(tall, first, acc);
        // Each chunk is summed separately: a single chain over all rows would round thousands of times.
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) {
                real* const to = at + r * sums_step + v * kLanes;
                if (!is_first) acc[r][v] += load(to, left - v * kLanes);
                store(to, acc[r][v], left - v * kLanes);
            }
        }
    }

    template <int R>
    void multiply(Exactly<R> tall, std::int64_t first, vf (&acc)[R][V]) const {
        outer_tile(tall, gradients + first, gradients_step, inputs, kTile, depth, acc);
    }

#ifdef HIDDENSTATE_ADD_PRODUCT
    void multiply(UpTo tall, std::int64_t first, vf (&acc)[kRows][V]) const {
        const element* rows[kRows] = {};
        for (int r = 0; r < tall.count; ++r) {
            // The tile is passed rows of numbers, and multiplies them as pairs.
            rows[r] = reinterpret_cast<const element*>(gradients + (first + r) * gradients_step);
        }
        tile(tall, rows, 2 * depth, inputs, acc);
    }
#endif
};

// The gradient of a matrix W [gradients, columns]: holds the packed inputs x of a chunk, and the sums so far.
struct WeightGradient {
    element* const to;  // null if not needed
    const std::int64_t columns;

    WeightGradient(element* to, std::int64_t gradients, std::int64_t columns, std::int64_t rows)
        : to(to), columns(columns), depth_(depth(rows)), inputs_(to ? matrix_size(rows, columns) : 0),
          sums_(to && kPairs ? gradients * columns : 0) {}

    // The block of the chunk's inputs that begins at column u: [depth(rows), kTile], packed like weights.
    packed* block(std::int64_t u) const { return inputs_.data() + u / kTile * kTile * depth_; }

    // Packs row a as the k-th row of all blocks; for pairs, packs rows a and b as one row.
    void put(std::int64_t k, const element* a, const element* b) const {
        for (std::int64_t u = 0; u < columns; u += kTile) {
            const std::int64_t count = std::min<std::int64_t>(kTile, columns - u);
            packed* row = block(u) + k * kTile;
            interleave(a + u, b + u, count, row);
            std::fill(row + count, row + blocks(count, kLanes) * kLanes, packed{});
        }
    }

    // The sums. They are in the gradient itself or, because bfloat16 would round each partial sum, in a buffer of reals.
    real* sums() const {
        if constexpr (kPairs) return sums_.data();
        else return reinterpret_cast<real*>(to);  // the same type here
    }

private:
    const std::int64_t depth_;
    const Buffer<packed> inputs_;
    const Buffer<real> sums_;
};

// The distance between rows of `columns` numbers: whole blocks and one more vector, so that rows are an odd number of cache lines apart and
// don't map to the same cache sets.
inline std::int64_t padded(std::int64_t columns) { return blocks(columns, kTile) * kTile + kLanes; }

}  // namespace
}  // namespace hiddenstate
