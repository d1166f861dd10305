// The inner loop of the scan: multiplies a few rows by one packed block of weights, with all sums in registers.
//
//                       kLanes units of
//                     i    f    g    o           A block holds all four gates of one vector of units, so that the
//         k = 0     [....|....|....|....]        gates are complete in registers when the sum over k is. Blocks of
//         k = 1     [....|....|....|....]        the backward scan hold four neighbouring vectors of units instead.
//           :       [....|....|....|....]
//
//   row r: a[r][k] times each, summed over k in four vectors
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernel/matrix.h"
#include "kernel/this_cell.h"
#include "kernel/vec.h"

namespace hiddenstate {
namespace {

// The number of blocks of `width` columns that cover `columns`.
inline std::int64_t blocks(std::int64_t columns, std::int64_t width) { return (columns + width - 1) / width; }

constexpr int kUnits = kAcross * kLanes;     // units in a packed block
constexpr int kColumns = kAcross * kGates;   // vectors of columns in a block: one for each gate of each vector of units
constexpr int kTile = kColumns * kLanes;     // columns in a block
constexpr bool kPairs = sizeof(element) == 2;  // bfloat16: two values adjacent in k share a lane
// Int8 weights: four values adjacent in k share a lane; see quads.h.
#ifdef HIDDENSTATE_INT8
constexpr bool kQuads = true;
#else
constexpr bool kQuads = false;
#endif
// Whether the instruction set multiplies matrices of lanes in special registers; see matrix.h.
#ifdef HIDDENSTATE_ADD_PRODUCT
constexpr bool kMatrices = true;
#else
constexpr bool kMatrices = false;
#endif
// Whether tiles keep their sums in vector registers: all tiles without matrix registers, and int8 tiles with few rows.
constexpr bool kVectors = !kMatrices || kQuads;
// The maximum number of rows of such a tile. With four sums per row, 6 rows take 24 of 32 vector registers, or 3 rows take 12 of 16, and
// the operands take the rest; with three sums per row, the maximum is 8 or 4.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kVectorRows = 24 / kColumns;
#else
constexpr int kVectorRows = 12 / kColumns;
#endif
// The maximum number of rows of a tile. A matrix register has 16 rows, and a tile uses two registers' worth.
constexpr int kRows = kMatrices ? 32 : kVectorRows;

// Whether products of this many rows, summed over K elements, use matrix registers. If the CPU has them, all products do, except int8
// products with few rows or elements: these are faster in vectors, because loading part of a matrix register takes as long as loading all
// of it.
inline bool in_matrices(std::int64_t rows, std::int64_t K) {
    constexpr std::int64_t kFewestRows = 3, kHalfRegister = 32, kFewestNumbers = 384;
    if (!kMatrices || !kVectors) return kMatrices;
    return rows >= kFewestRows && K > kHalfRegister && rows * K >= kFewestNumbers;
}

// The rows of a tile.
struct Height {
    int count;      // at most kRows; at most kVectorRows in vectors
    bool matrices;  // whether the sums are kept in matrix registers

    bool in_matrices() const { return kMatrices && matrices; }
};

// The sums of a row of a tile.
using Sums = vf[kColumns];

// How many numbers a lane of packed weights holds: one, two or four.
constexpr std::int64_t kPerLane = kQuads ? 4 : kPairs ? 2 : 1;
using packed = std::conditional_t<kPerLane == 1, real, std::uint32_t>;

// The number of lanes that K numbers fill.
inline std::int64_t filled(std::int64_t K) { return blocks(K, kPerLane); }

// The number of rows before the weights of a packed matrix: for int8, each column's scale and the initial value of its sums.
constexpr std::int64_t kHead = kQuads ? 2 : 0;

// The number of lanes that K numbers take when packed: for matrix registers, a multiple of a whole register, zero-padded.
inline std::int64_t depth(std::int64_t K) {
    return kHead + (kMatrices ? blocks(filled(K), kLanes) * kLanes : filled(K));
}

// A vector of packed weights.
inline vf weights(const packed* w) {
    vf v;
    std::memcpy(&v, w, sizeof v);
    return v;
}

// The first or second number of each pair, as floats: a bfloat16 is the upper half of a float.
inline vf firsts(vf pair) { return from_bits(bits(pair) << 16); }
inline vf seconds(vf pair) { return from_bits(bits(pair) & static_cast<whole>(0xffff0000u)); }

// Copies one number or pair into every lane of a vector.
inline vf spread(const real* a) { return splat(*a); }

inline vf spread(const void* pair) {
    whole both;
    std::memcpy(&both, pair, sizeof both);
    return from_bits(both - vi{});
}

// Copies the k-th number or pair of a row into every lane of a vector.
inline vf spread_at(const real* a, std::int64_t k) { return spread(a + k); }
inline vf spread_at(const bfloat16* a, std::int64_t k) { return spread(static_cast<const void*>(a + 2 * k)); }

// V vectors of packed weights, side by side.
template <int V>
struct Row {
    vf at[V];

    explicit Row(const packed* w) {
        for (int v = 0; v < V; ++v) at[v] = weights(w + v * kLanes);
    }
};

// acc[v] += x w[v]; for pairs, adds both products.
template <int V>
inline void multiply(vf x, const Row<V>& w, vf (&acc)[V]) {
    for (int v = 0; v < V; ++v) {
        if constexpr (!kPairs) {
            acc[v] = fused(x, w.at[v], acc[v]);
        } else {
#ifdef __AVX512BF16__
            acc[v] = (vf)_mm512_dpbf16_ps((__m512)acc[v], (__m512bh)x, (__m512bh)w.at[v]);
#else
            acc[v] = fused(seconds(x), seconds(w.at[v]), fused(firsts(x), firsts(w.at[v]), acc[v]));
#endif
        }
    }
}

// The factors of a tile: rows of K elements each, and a packed block. The steps are the distances, in lanes, from the number or pair k of
// a row to the next, and from a row of the block to the next.
struct Factors {
    const element* const* a;
    std::int64_t K;
    const packed* w;
    std::int64_t a_step = 1, w_step = kTile;
    const char* next = nullptr;  // memory that is read after the product, to be prefetched during it: kFetched bytes for each k
};

// Where the sums of a tile start: those of row r at `at` + r * step.
struct Start {
    const real* at;
    std::int64_t step;

    vf of(int r, int v) const { return load(at + r * step + v * kLanes); }
};

alignas(64) constexpr real kZeros[kTile] = {};
constexpr Start kFromZero{kZeros, 0};

inline Start from_sums(const Sums* sums) { return {reinterpret_cast<const real*>(sums), kColumns * kLanes}; }

constexpr std::int64_t kFetched = 16;  // with 96 columns or more, the tiles of a step prefetch all of the memory

#ifndef HIDDENSTATE_INT8
// sum[r] = start of row r + sum_k a[r][k] w[k] of each product, for R rows and the first V vectors of a block. Each row is summed in the
// order of k, whatever the number of rows in the tile, so results do not depend on how rows are divided among threads and tiles. `sum` is a
// local variable of the caller: nothing else can point to it, so the compiler keeps it in registers.
template <int R, int V>
[[gnu::always_inline]] inline void add_products(const Factors* products, int count, Start start, vf (&sum)[R][V]) {
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = start.of(r, v);
    }
    for (const Factors* factors = products; factors < products + count; ++factors) {
        const element* a[R];
        for (int r = 0; r < R; ++r) a[r] = factors->a[r];
        const packed* w = factors->w;
        const char* const next = factors->next;
        const std::int64_t K = factors->K, a_step = factors->a_step, w_step = factors->w_step;
        [[maybe_unused]] element last[R][2];
        for (std::int64_t k = 0, n = kPairs ? K / 2 : K;;) {
            for (std::int64_t at = 0; k < n; ++k, at += a_step, w += w_step) {
                const Row<V> row(w);
                for (int r = 0; r < R; ++r) multiply(spread_at(a[r], at), row, sum[r]);
                if (next) __builtin_prefetch(next + kFetched * k, 0, 2);
            }
            if (!kPairs || n == filled(K)) break;
            n = filled(K);  // the last of an odd number of bfloat16 values, paired with zero
            for (int r = 0; r < R; ++r) last[r][0] = a[r][K - 1], last[r][1] = element{}, a[r] = last[r];
        }
    }
}

// The same with the sums in memory.
template <int R, int V>
void product(const Factors* products, int count, Start start, Sums* acc) {
    vf sum[R][V];
    add_products(products, count, start, sum);
    for (int r = 0; r < R; ++r) std::memcpy(acc[r], sum[r], sizeof sum[r]);
}

// Calls use(r, sums of row r) for each of R rows of a tile and all vectors, with the sums still in registers.
template <int R, class Use>
void use_products(const Factors* products, int count, Start start, const Use& use) {
    vf sum[R][kColumns];
    add_products(products, count, start, sum);
    for (int r = 0; r < R; ++r) use(r, sum[r]);
}

// Computes two blocks for one row: acc[b] += sum_k a[k] w[b][k], each in the order of k. Each addition to a sum waits for the previous one,
// and the four sums of one block are too few to hide that latency.
inline void tile_of_two(const element* a, std::int64_t K, const packed* const (&w)[2], Sums (&acc)[2]) {
    Sums sum[2];
    std::memcpy(sum, acc, sizeof sum);
    const std::int64_t n = kPairs ? K / 2 : K;
    const auto add = [&](vf x, std::int64_t k) {
        for (int b = 0; b < 2; ++b) multiply(x, Row<kColumns>(w[b] + k * kTile), sum[b]);
    };
    for (std::int64_t k = 0; k < n; ++k) add(spread_at(a, k), k);
    if (filled(K) > n) {
        const element last[2] = {a[K - 1], element{}};
        add(spread_at(last, 0), n);
    }
    std::memcpy(acc, sum, sizeof sum);
}
#endif

}  // namespace
}  // namespace hiddenstate

#ifdef HIDDENSTATE_INT8
#include "kernel/quads.h"
#endif

namespace hiddenstate {
namespace {

using Product = void (*)(const Factors* products, int count, Start start, Sums* acc);

// The products of each number of rows and vectors.
template <int... K>
constexpr std::array<Product, sizeof...(K)> products(std::integer_sequence<int, K...>) {
    return {product<K / kColumns + 1, K % kColumns + 1>...};
}

// acc[r] = start of row r + sum_k a[r][k] w[k] of each product, for the rows of a tile and the first V vectors of a block.
template <int Count>
inline void multiply(Height tall, int V, const Factors (&factors)[Count], Start start, Sums* acc) {
#if defined(HIDDENSTATE_ADD_PRODUCT) && !defined(HIDDENSTATE_INT8)
    for (int r = 0; r < tall.count; ++r) {
        for (int v = 0; v < V; ++v) acc[r][v] = start.of(r, v);
    }
    for (const Factors& of : factors) {
        multiply_pairs<kTile>(V, tall.count, of.a, of.K, of.w, reinterpret_cast<real*>(acc), sizeof acc[0]);
    }
#else
    static constexpr auto all = products(std::make_integer_sequence<int, kVectorRows * kColumns>{});
    all[static_cast<std::size_t>((tall.count - 1) * kColumns + V - 1)](factors, Count, start, acc);
#endif
}

// Calls use(r, sums of row r) for each row of a tile.
template <int Count, class Use>
[[gnu::always_inline]] inline void multiply_rows(Height tall, int V, const Factors (&products)[Count], Start start, const Use& use) {
#if defined(HIDDENSTATE_ADD_PRODUCT) && defined(HIDDENSTATE_INT8)
    if (tall.matrices) return multiply_rows_evenly(tall.count, V, products, start, use);
#endif
    Sums acc[kRows];
    multiply(tall, V, products, start, acc);
    for (int r = 0; r < tall.count; ++r) use(r, acc[r]);
}

#ifndef HIDDENSTATE_INT8
// use_products for each number of rows.
template <class Use, int... K>
constexpr std::array<void (*)(const Factors*, int, Start, const Use&), sizeof...(K)> product_users(std::integer_sequence<int, K...>) {
    return {use_products<K + 1, Use>...};
}
#endif

// Calls use(r, sums of row r) for each row of a tile and all vectors. It is compiled once for each number of rows, so that a step, which
// often has few rows, does not store the sums and load them again.
template <int Count, class Use>
[[gnu::always_inline]] inline void multiply_columns(Height tall, const Factors (&products)[Count], Start start, const Use& use) {
#if defined(HIDDENSTATE_ADD_PRODUCT) || defined(HIDDENSTATE_INT8)
    multiply_rows(tall, kColumns, products, start, use);
#else
    static constexpr auto all = product_users<Use>(std::make_integer_sequence<int, kVectorRows>{});
    all[static_cast<std::size_t>(tall.count - 1)](products, Count, start, use);
#endif
}

// Calls f.run(rows, first) for tiles that cover `count` rows, in matrix registers or in vectors. Tile heights in vectors are as equal as
// possible, because a tile with few rows loads as many weights as a tile with many.
template <class F>
inline void for_tiles(std::int64_t count, bool matrices, const F& f) {
    const bool full = kMatrices && matrices;
    const std::int64_t tiles = blocks(count, full ? kRows : kVectorRows);
    for (std::int64_t k = 0, first = 0; k < tiles; ++k) {
        const std::int64_t next = full ? std::min(first + kRows, count) : (k + 1) * count / tiles;
        const Height tall{static_cast<int>(next - first), full};
        if (tall.count > kRows) __builtin_unreachable();
        f.run(tall, first);
        first = next;
    }
}

template <class F>
inline void for_tiles(std::int64_t count, const F& f) {
    for_tiles(count, kMatrices, f);
}

// The number of vectors of a block that `count` numbers take.
inline int vectors_of(std::int64_t count) {
    const auto vectors = static_cast<int>(std::min<std::int64_t>(blocks(count, kLanes), kColumns));
    if (vectors < 1) __builtin_unreachable();
    return vectors;
}

}  // namespace
}  // namespace hiddenstate
