// The product at the heart of the scan: a few rows times one packed block of weights, in registers.
//
//                       kLanes units of
//                     i    f    g    o           A block holds all four gates of one vector of units, so that the
//         k = 0     [....|....|....|....]        gates are complete in registers when the sum over k is. Blocks of
//         k = 1     [....|....|....|....]        the backward scan hold four neighbouring vectors of units instead.
//           :       [....|....|....|....]
//
//   row r: a[r][k] times each, summed over k in four accumulators
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "vec.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace hiddenstate {
namespace {

constexpr int kGates = 4;
constexpr int kTile = kGates * kLanes;  // columns of a packed block: four vectors
// Rows that a tile keeps in registers, four accumulators each: what 32 or 16 registers hold beside the operands.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 6;
#else
constexpr int kRows = 3;
#endif
constexpr bool kPairs = sizeof(element) == 2;  // bfloat16: two neighbours in k share a lane

// What a lane of packed weights holds: one number, or a pair.
using packed = std::conditional_t<kPairs, std::uint32_t, real>;

inline std::int64_t blocks(std::int64_t columns, std::int64_t width) { return (columns + width - 1) / width; }

// Lanes that K numbers take.
inline std::int64_t depth(std::int64_t K) { return kPairs ? (K + 1) / 2 : K; }

// A register of packed weights; as floats where they are pairs, the first or the second of each.
inline vf weights(const packed* w) {
    vf v;
    std::memcpy(&v, w, sizeof v);
    return v;
}

inline vf firsts(vf pair) { return from_bits(bits(pair) << 16); }
inline vf seconds(vf pair) { return from_bits(bits(pair) & static_cast<whole>(0xffff0000u)); }

// One number of a row, or a pair of them, in every lane.
inline vf spread(const real* a, std::int64_t k) { return splat(a[k]); }

inline vf spread(const bfloat16* a, std::int64_t k) {
    std::int32_t pair;
    std::memcpy(&pair, a + 2 * k, sizeof pair);
    return from_bits(static_cast<whole>(pair) - vi{});
}

// acc[v] += x w[v]; of pairs, both products.
inline void multiply(vf x, const vf (&w)[kGates], vf (&acc)[kGates]) {
    for (int v = 0; v < kGates; ++v) {
        if constexpr (!kPairs) {
            acc[v] += x * w[v];
        } else {
#ifdef __AVX512BF16__
            acc[v] = (vf)_mm512_dpbf16_ps((__m512)acc[v], (__m512bh)x, (__m512bh)w[v]);
#else
            acc[v] = (acc[v] + firsts(x) * firsts(w[v])) + seconds(x) * seconds(w[v]);
#endif
        }
    }
}

// acc[r] += sum_k a[r][k] w[k]. Each row is summed in the order of k however many share the tile, so that results do
// not depend on how rows are shared out.
template <int R>
inline void tile(const element* const* a, std::int64_t K, const packed* w, vf (&acc)[R][kGates]) {
    const std::int64_t n = kPairs ? K / 2 : K;
    for (std::int64_t k = 0; k < n; ++k, w += kTile) {
        const vf row[kGates] = {weights(w), weights(w + kLanes), weights(w + 2 * kLanes), weights(w + 3 * kLanes)};
        for (int r = 0; r < R; ++r) multiply(spread(a[r], k), row, acc[r]);
    }
    if (depth(K) == n) return;
    const vf row[kGates] = {weights(w), weights(w + kLanes), weights(w + 2 * kLanes), weights(w + 3 * kLanes)};
    for (int r = 0; r < R; ++r) {
        const element last[2] = {a[r][K - 1], element{}};
        multiply(spread(last, 0), row, acc[r]);
    }
}

template <int R, class F>
inline void run_tile(int rows, std::int64_t first, const F& f) {
    if (rows == R) return f.template run<R>(first);
    if constexpr (R > 1) run_tile<R - 1>(rows, first, f);
}

// Calls f.run<R>(first) for tiles that cover `count` rows, as equal in height as can be.
template <class F>
inline void for_tiles(std::int64_t count, const F& f) {
    const std::int64_t tiles = blocks(count, kRows);
    for (std::int64_t k = 0, first = 0; k < tiles; ++k) {
        const std::int64_t next = (k + 1) * count / tiles;
        run_tile<kRows>(static_cast<int>(next - first), first, f);
        first = next;
    }
}

// ---------------------------------------------------------------------------------------------------------- packing

// Half of the elements of a and b each: where `Step` is set in a lane's number, from one Step further left or right.
template <int Step, int... J>
inline std::pair<vf, vf> exchanged(vf a, vf b, std::integer_sequence<int, J...>) {
    return {__builtin_shufflevector(a, b, ((J & Step) ? kLanes + J - Step : J)...),
            __builtin_shufflevector(a, b, ((J & Step) ? kLanes + J : J + Step)...)};
}

// Turns kLanes vectors of kLanes numbers round: row j, lane k becomes row k, lane j.
template <int Step = 1>
inline void transpose(vf (&rows)[kLanes]) {
    if constexpr (Step < kLanes) {
        for (int j = 0; j < kLanes; ++j) {
            if (j & Step) continue;
            std::tie(rows[j], rows[j + Step]) =
                exchanged<Step>(rows[j], rows[j + Step], std::make_integer_sequence<int, kLanes>{});
        }
        transpose<2 * Step>(rows);
    }
}

// What a lane holds: the number at k, or the pair of it and the `next`, which may lie behind the end.
inline real word(const real* at, std::int64_t, bool) { return *at; }

inline std::uint32_t word(const bfloat16* at, std::int64_t next, bool last) {
    return at->bits | (last ? 0 : static_cast<std::uint32_t>(at[next].bits) << 16);
}

// Up to kLanes rows of a matrix with K columns, as columns that stand kTile apart; rows that are not there are zero.
inline void pack_rows(const element* w, std::int64_t rows, std::int64_t K, packed* to) {
    constexpr std::int64_t each = kPairs ? 2 : 1;
    const std::int64_t n = depth(K), full = rows == kLanes && K % each == 0 ? n / kLanes * kLanes : 0;
    for (std::int64_t k = 0; k < full; k += kLanes) {
        vf square[kLanes];
        for (int j = 0; j < kLanes; ++j) std::memcpy(&square[j], w + j * K + each * k, sizeof(vf));
        transpose(square);
        for (int j = 0; j < kLanes; ++j) std::memcpy(to + (k + j) * kTile, &square[j], sizeof(vf));
    }
    for (std::int64_t k = full; k < n; ++k) {
        for (int j = 0; j < kLanes; ++j) to[k * kTile + j] = j < rows ? word(w + j * K + each * k, 1, each * k + 1 == K) : packed{};
    }
}

// The block of the units from u on of a matrix [4H, K]: [depth(K)][gate][kLanes].
inline void pack_gates(const element* w, std::int64_t K, std::int64_t H, std::int64_t u, packed* to) {
    for (std::int64_t g = 0; g < kGates; ++g) {
        pack_rows(w + (g * H + u) * K, std::min<std::int64_t>(kLanes, H - u), K, to + g * kLanes);
    }
}

// The block of the columns from u on of a matrix [K, H]: [depth(K)][kTile].
inline void pack_columns(const element* w, std::int64_t K, std::int64_t H, std::int64_t u, packed* to) {
    constexpr std::int64_t each = kPairs ? 2 : 1;
    const std::int64_t columns = std::min<std::int64_t>(kTile, H - u);
    for (std::int64_t k = 0; k < depth(K); ++k, to += kTile) {
        const element* row = w + each * k * H + u;
        for (std::int64_t j = 0; j < columns; ++j) to[j] = word(row + j, H, each * k + 1 == K);
        std::fill_n(to + columns, kTile - columns, packed{});
    }
}

}  // namespace
}  // namespace hiddenstate
