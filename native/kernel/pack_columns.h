// Packs matrices by columns, and pairs of rows, for the backward scan.
#pragma once

#include "kernel/pack.h"

namespace hiddenstate {
namespace {

// Packs the block of a matrix [K, H] that begins at column u, as [depth(K)][kTile].
inline void pack_columns(const element* w, std::int64_t K, std::int64_t H, std::int64_t u, packed* to) {
    constexpr std::int64_t each = kPairs ? 2 : 1;
    const std::int64_t columns = std::min<std::int64_t>(kTile, H - u);
    for (std::int64_t k = 0; k < filled(K); ++k, to += kTile) {
        const element* row = w + each * k * H + u;
        for (std::int64_t j = 0; j < columns; ++j) to[j] = word(row + j, H, each * k + 1 == K);
        std::fill_n(to + columns, kTile - columns, packed{});
    }
    std::fill_n(to, (depth(K) - filled(K)) * kTile, packed{});
}

// Packs two rows as one row of pairs. If lanes hold single numbers, it copies only the first row.
inline void interleave(const real* a, const real*, std::int64_t n, real* to) { std::copy_n(a, n, to); }

inline void interleave(const bfloat16* a, const bfloat16* b, std::int64_t n, std::uint32_t* to) {
    for (std::int64_t k = 0; k < n; ++k) to[k] = pair_of(a[k], b[k]);
}

// Packs up to kLanes numbers of two rows as a vector of pairs.
inline vf pairs_of(const bfloat16* a, const bfloat16* b, std::int64_t n) {
    const auto first = (words)bits(load(a, n)), second = (words)bits(load(b, n));  // each number is in the upper half
    return from_bits((vi)(first >> 16 | second));
}

// Packs a matrix [K, columns], one block of columns after another.
inline void pack_matrix(const element* w, std::int64_t K, std::int64_t columns, int threads, packed* to) {
    const std::int64_t size = kTile * depth(K);
    pack_blocks(blocks(columns, kTile), size, threads,
                [&](std::int64_t b) { pack_columns(w, K, columns, b * kTile, to + b * size); });
}

}  // namespace
}  // namespace hiddenstate
