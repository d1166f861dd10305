// Computes the gradient of the input of a matrix product: for z = W x, dx = dz W.
//
// The backward scan has three such products: dh = dg W_hh and dm = dh W_hr at each step, and dx = dg W_ih after a chunk.
#pragma once

#include <algorithm>

#include "kernel/tile.h"
#include "threads/parallel.h"

namespace hiddenstate {
namespace {

// A tile of the product, for some rows and V vectors of columns of one packed block.
template <class Number, int V>
struct InputGradientTile {
    const element* const* gradients;  // dz of each row, K elements
    std::int64_t K;
    const packed* w;           // the block's weights, starting at the first column needed
    const std::int64_t* rows;  // the row of `to` that receives each result
    Number* to;
    std::int64_t columns, left;  // the number of columns of `to`; how many of them the tile writes
    bool adds;                   // whether results are added to the existing values
    Ahead* ahead;                // or null

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][V];
        clear(tall, acc);
        for (int r = 0; adds && r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) acc[r][v] = load(to + rows[first + r] * columns + v * kLanes, left - v * kLanes);
        }
        multiply(tall, first, acc);
        for (int r = 0; r < tall.count; ++r) {
            Number* row = to + rows[first + r] * columns;
            for (int v = 0; v < V; ++v) {
                store(row + v * kLanes, acc[r][v], left - v * kLanes);
            }
        }
    }

private:
    template <class Height>
    void multiply(Height tall, std::int64_t first, vf (&acc)[Height::most][V]) const {
        if constexpr (!kMatrices) {
            if (ahead && ahead->any()) {
                const char* const next = ahead->take(K);
                return tile(tall, gradients + first, K, w, acc, [next](std::int64_t k) { Ahead::fetch(next, k); });
            }
        }
        tile(tall, gradients + first, K, w, acc);
    }
};

// Computes the product for some rows, whose results may go to any rows of `to`.
template <class Number>
struct InputGradient {
    const element* const* gradients;
    std::int64_t K;
    const packed* w;  // all blocks
    const std::int64_t* rows;
    Number* to;
    std::int64_t columns;
    bool adds = false;
    Ahead* ahead = nullptr;

    // Computes a range of columns of `count` rows, block by block; with `reverse`, from the last block to the first. Callers alternate
    // between the two, because the blocks read last are still in the cache.
    void run(std::int64_t count, Range range, bool reverse) const {
        const std::int64_t first = range.first / kTile, n = blocks(range.last, kTile) - first;
        for (std::int64_t k = 0; range.size() > 0 && k < n; ++k) {
            const std::int64_t b = first + (reverse ? n - 1 - k : k);
            // A range may begin or end inside a block, because threads divide columns by vectors, not by blocks.
            const std::int64_t u = std::max(b * kTile, range.first), left = std::min((b + 1) * kTile, range.last) - u;
            const packed* block = w + b * kTile * depth(K) + u % kTile;
            with_vectors(left, [&](auto V) {
                for_tiles(count, InputGradientTile<Number, V>{gradients, K, block, rows, to + u, columns, left, adds, ahead});
            });
        }
    }
};

}  // namespace
}  // namespace hiddenstate
