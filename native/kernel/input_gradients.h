// Computes the gradient of the input of a matrix product: for z = W x, dx = dz W.
//
// The backward scan has three such products: dh = dg W_hh and dm = dh W_hr at each step, and dx = dg W_ih after a chunk.
#pragma once

#include <algorithm>

#include "kernel/tile.h"
#include "threads/parallel.h"

namespace hiddenstate {
namespace {

// Memory that is read after a product and prefetched during it: each tile prefetches the next part.
class Ahead {
public:
    Ahead() = default;
    Ahead(const void* first, std::int64_t bytes) : next_(static_cast<const char*>(first)), end_(next_ + bytes) {}

    // The part for a tile that sums over K elements, or null if there is none left.
    const char* take(std::int64_t K) {
        if (next_ >= end_) return nullptr;
        const char* const mine = next_;
        next_ += kFetched * K;
        return mine;
    }

private:
    const char *next_ = nullptr, *end_ = nullptr;
};

// A tile of the product, for some rows and the columns of one packed block, or some of them.
template <class Number>
struct InputGradientTile {
    const element* const* gradients;  // dz of each row, K elements
    std::int64_t K;
    const packed* w;           // the block's weights, starting at the first column needed
    const std::int64_t* rows;  // the row of `to` that receives each result
    Number* to;
    std::int64_t columns, left;  // the number of columns of `to`; how many of them the tile writes
    bool adds;                   // whether results are added to the existing values
    Ahead* ahead;                // or null

    void run(Height tall, std::int64_t first) const {
        const int V = vectors_of(left);
        Sums acc[kRows];
        for (int r = 0; adds && r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) acc[r][v] = load(row(first + r, v), left - v * kLanes);
        }
        multiply(tall, V, {{gradients + first, K, w, 1, kTile, ahead ? ahead->take(K) : nullptr}}, adds ? from_sums(acc) : kFromZero, acc);
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) store(row(first + r, v), acc[r][v], left - v * kLanes);
        }
    }

private:
    Number* row(std::int64_t r, int v) const { return to + rows[r] * columns + v * kLanes; }
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
            for_tiles(count, InputGradientTile<Number>{gradients, K, block, rows, to + u, columns, left, adds, ahead});
        }
    }
};

}  // namespace
}  // namespace hiddenstate
