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

#include "kernel/kinds.h"
#include "kernel/matrix.h"
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

// The number of rows of a tile, known at compile time, so that the sums stay in registers.
template <int R>
struct Exactly {
    static constexpr int most = R, count = R;
};

// The number of rows of a tile for matrix registers, which take any number at run time.
struct UpTo {
    static constexpr int most = kRows;
    int count;
};

template <class Height, int V>
inline void clear(Height tall, vf (&acc)[Height::most][V]) {
    for (int r = 0; r < tall.count; ++r) {
        for (int v = 0; v < V; ++v) acc[r][v] = vf{};
    }
}

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

// Prevents inlining of a function on SSE2, whose 16 registers would be too few for the sums of a tile in inlined code.
#if defined(__SSE2__) && !defined(__AVX2__)
#define HIDDENSTATE_APART [[gnu::noinline]]
#else
#define HIDDENSTATE_APART
#endif

#ifndef HIDDENSTATE_INT8
// acc[r] += sum_k a[r][k] w[k], for the first V vectors of a block. Each row is summed in the order of k, whatever the number of rows in
// the tile, so results do not depend on how rows are divided among threads and tiles. Calls between(k) once for each k.
template <int R, int V, class Between>
HIDDENSTATE_APART inline void tile(Exactly<R>, const element* const* a, std::int64_t K, const packed* w, vf (&acc)[R][V],
                                   const Between& between) {
    vf sum[R][V];  // a local copy of acc: nothing else can point to it, so the compiler keeps it in registers
    std::memcpy(sum, acc, sizeof sum);
    const std::int64_t n = kPairs ? K / 2 : K;
    for (std::int64_t k = 0; k < n; ++k, w += kTile) {
        const Row<V> row(w);
        for (int r = 0; r < R; ++r) multiply(spread_at(a[r], k), row, sum[r]);
        between(k);
    }
    if (filled(K) > n) {  // the last of an odd number of bfloat16 values, paired with zero
        const Row<V> row(w);
        for (int r = 0; r < R; ++r) {
            const element last[2] = {a[r][K - 1], element{}};
            multiply(spread_at(last, 0), row, sum[r]);
        }
    }
    std::memcpy(acc, sum, sizeof sum);
}

template <int R, int V>
inline void tile(Exactly<R> tall, const element* const* a, std::int64_t K, const packed* w, vf (&acc)[R][V]) {
    tile(tall, a, K, w, acc, [](std::int64_t) {});
}

// Memory that is read after a product and prefetched during it: each tile prefetches the next part.
class Ahead {
public:
    Ahead() = default;
    Ahead(const void* first, std::int64_t bytes) : next_(static_cast<const char*>(first)), end_(next_ + bytes) {}

    bool any() const { return next_ < end_; }

    // Takes the part for a tile that sums over K elements: one prefetch per element.
    const char* take(std::int64_t K) {
        const char* const mine = next_;
        next_ += kEach * K;
        return mine;
    }

    static void fetch(const char* from, std::int64_t k) { __builtin_prefetch(from + kEach * k, 0, 2); }

private:
    static constexpr std::int64_t kEach = 16;  // bytes; with 96 columns or more, the tiles of a step prefetch all of the memory

    const char *next_ = nullptr, *end_ = nullptr;
};
#endif

#ifndef HIDDENSTATE_INT8
// Computes two blocks for one row: acc[b] += sum_k a[k] w[b][k], each in the order of k. Each addition to a sum waits for the previous one,
// and the four sums of one block are too few to hide that latency.
template <int V>
inline void tile_of_two(const element* a, std::int64_t K, const packed* const (&w)[2], vf (&acc)[2][V]) {
    vf sum[2][V];
    std::memcpy(sum, acc, sizeof sum);
    const std::int64_t n = kPairs ? K / 2 : K;
    const auto add = [&](vf x, std::int64_t k) {
        for (int b = 0; b < 2; ++b) multiply(x, Row<V>(w[b] + k * kTile), sum[b]);
    };
    for (std::int64_t k = 0; k < n; ++k) add(spread_at(a, k), k);
    if (filled(K) > n) {
        const element last[2] = {a[K - 1], element{}};
        add(spread_at(last, 0), n);
    }
    std::memcpy(acc, sum, sizeof sum);
}
#endif

#if defined(HIDDENSTATE_ADD_PRODUCT) && !defined(HIDDENSTATE_INT8)
template <int V>
inline void tile(UpTo rows, const element* const* a, std::int64_t K, const packed* w, vf (&acc)[kRows][V]) {
    multiply_pairs<V, kTile>(rows.count, a, K, w, reinterpret_cast<real*>(acc), sizeof acc[0]);
}
#endif

// The factors of a tile: rows of K elements each, and a packed block.
struct Factors {
    const element* const* a;
    std::int64_t K;
    const packed* w;
};

// Calls use(r, sums of row r) for each row of a tile: sums[v] starts at start(r, v), and each product is added to it.
template <int V, std::size_t Products, class Height, class Start, class Use>
inline void multiply_rows(Height tall, const Factors (&products)[Products], const Start& start, const Use& use) {
    vf acc[Height::most][V];
    for (int r = 0; r < tall.count; ++r) {
        for (int v = 0; v < V; ++v) acc[r][v] = start(r, v);
    }
    for (const Factors& one : products) tile(tall, one.a, one.K, one.w, acc);
    for (int r = 0; r < tall.count; ++r) use(r, acc[r]);
}

// acc[r] += sum_k a[k * a_step + r] b[k * b_step]: a product with a transposed matrix, as needed for weight gradients.
template <int R, int V>
inline void outer_tile(Exactly<R>, const packed* a, std::int64_t a_step, const packed* b, std::int64_t b_step, std::int64_t n,
                       vf (&acc)[R][V]) {
    vf sum[R][V];
    std::memcpy(sum, acc, sizeof sum);
    for (std::int64_t k = 0; k < n; ++k, a += a_step, b += b_step) {
        const Row<V> row(b);
        for (int r = 0; r < R; ++r) multiply(spread(a + r), row, sum[r]);
    }
    std::memcpy(acc, sum, sizeof sum);
}

// Calls f.run with the number of rows as a constant.
template <int R, class F>
inline void run_tile(int rows, std::int64_t first, const F& f) {
    if (rows == R) return f.run(Exactly<R>{}, first);
    if constexpr (R > 1) run_tile<R - 1>(rows, first, f);
}

// Calls f.run(rows, first) for tiles that cover `count` rows, in matrix registers or in vectors. Tile heights are as equal as possible,
// because a tile with few rows loads as many weights as a tile with many.
template <class F>
inline void for_tiles(std::int64_t count, bool matrices, const F& f) {
    if constexpr (kMatrices) {
        if (matrices) {
            for (std::int64_t first = 0; first < count; first += kRows) {
                f.run(UpTo{static_cast<int>(std::min<std::int64_t>(kRows, count - first))}, first);
            }
            return;
        }
    }
    if constexpr (kVectors) {
        const std::int64_t tiles = blocks(count, kVectorRows);
        for (std::int64_t k = 0, first = 0; k < tiles; ++k) {
            const std::int64_t next = (k + 1) * count / tiles;
            run_tile<kVectorRows>(static_cast<int>(next - first), first, f);
            first = next;
        }
    }
}

template <class F>
inline void for_tiles(std::int64_t count, const F& f) {
    for_tiles(count, kMatrices, f);
}

// Calls f(V) with V as a constant: the number of vectors of a block that `count` numbers take.
template <int V = kColumns, class F>
inline void with_vectors(std::int64_t count, const F& f) {
    if constexpr (V > 1) {
        if (count <= (V - 1) * kLanes) return with_vectors<V - 1>(count, f);
    }
    f(std::integral_constant<int, V>{});
}

}  // namespace
}  // namespace hiddenstate

#ifdef HIDDENSTATE_INT8
#include "kernel/quads.h"
#endif
