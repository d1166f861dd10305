// The gradient of a weight matrix: for z = W x, dW = dz^T x, summed over the rows of all chunks.
#pragma once

#include "kernel/pack_columns.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// A tile of the sum over a chunk's rows: some of the gradients times a block of the inputs.
struct WeightTile {
    const packed* gradients;  // in the form that ChunkProducts::pack returns
    std::int64_t gradients_step;
    const packed* inputs;  // a block of WeightGradient
    std::int64_t depth;
    real* sums;
    std::int64_t sums_step, left;  // the distance from one row of the sums to the next; how many columns the tile writes
    bool is_first;                 // whether the sums are still uninitialised

    void run(Height tall, std::int64_t first) const {
        const int V = vectors_of(left);
        Sums acc[kRows];
        const element* rows[kRows] = {};
        real* at = sums + first * sums_step;
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) {
                // Prefetches the sums of the next tile: all sums together are as large as the weights, which seldom fit in a core's cache.
                __builtin_prefetch(at + (tall.count + r) * sums_step + v * kLanes, 1);
            }
            // Matrix registers read a gradient's numbers of all rows one after another; vectors read all gradients of a row.
            // Tiles are passed rows of numbers, and multiply them as pairs.
            rows[r] = reinterpret_cast<const element*>(gradients + (first + r) * (kMatrices ? gradients_step : 1));
        }
        multiply(tall, V, {{rows, kPerLane * depth, inputs, kMatrices ? 1 : gradients_step}}, kFromZero, acc);
        // Each chunk is summed separately: a single chain over all rows would round thousands of times.
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) {
                real* const to = at + r * sums_step + v * kLanes;
                if (!is_first) acc[r][v] += load(to, left - v * kLanes);
                store(to, acc[r][v], left - v * kLanes);
            }
        }
    }
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
