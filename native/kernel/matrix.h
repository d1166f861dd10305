// Multiplies matrices in the CPU's tile registers (AMX), which have 16 rows of 64 bytes each. One instruction multiplies two of them and
// adds the product to a third. A row has 16 lanes, each with values adjacent in k: two bfloat16 or four int8 values.
//
//                        w: 16 lanes of k by 16 units, as packed blocks have them
//                      [6]  [7]
//   a: rows 0-15  [4]  [0]  [1]     sums of rows 0-15        Up to 16 rows have four sums, 0 to 3, of four vectors of
//      rows 16-31 [5]  [2]  [3]     sums of rows 16-31       units; more rows two vectors at a time, as drawn.
#pragma once

// Defined if this scan's number type has such registers: how a sum starts, and the instruction that adds a product to it. Integer sums
// start at zero, because the scale is not part of the sum. (Clang 14 spells the macros without the second underscore.)
#if defined(HIDDENSTATE_INT8) && (defined(__AMX_INT8__) || defined(__AMXINT8__))
#define HIDDENSTATE_ADD_PRODUCT _tile_dpbssd
#define HIDDENSTATE_BEGIN_SUM(sum, rows, bytes) _tile_zero(sum)
#elif !defined(HIDDENSTATE_INT8) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
#define HIDDENSTATE_ADD_PRODUCT _tile_dpbf16ps
#define HIDDENSTATE_BEGIN_SUM _tile_loadd
#endif

#ifdef HIDDENSTATE_ADD_PRODUCT
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "kernel/precision.h"

namespace hiddenstate {
namespace {

constexpr int kRegisterRows = 16;
constexpr int kRegisterBytes = 64;  // bytes per row: 16 lanes

// The number of rows for which this thread's registers are configured; 0 if they are not.
thread_local int registers_rows = 0;

// Lets a thread multiply matrices while this object lives. The destructor releases the registers, because other libraries configure them
// for their own use.
class MatrixRegisters {
public:
    MatrixRegisters() { registers_rows = 0; }
    ~MatrixRegisters() {
        if (registers_rows) _tile_release();
        registers_rows = 0;
    }
    MatrixRegisters(const MatrixRegisters&) = delete;
    MatrixRegisters& operator=(const MatrixRegisters&) = delete;
};

// Configures the registers for `rows` rows, but only if necessary, because the instruction takes longer than a small product.
inline void set_up_registers(int rows) {
    if (rows == registers_rows) return;
    struct alignas(64) {  // the layout that the instruction reads
        std::uint8_t palette = 1, start = 0, reserved[14] = {};
        std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        std::uint8_t rows[16] = {};
    } shapes;
    const auto first = static_cast<std::uint8_t>(std::min(rows, kRegisterRows));
    const auto second = static_cast<std::uint8_t>(rows > kRegisterRows ? rows - kRegisterRows : rows);
    const std::uint8_t all[8] = {first, first, second, second, first, second, kRegisterRows, kRegisterRows};
    std::memcpy(shapes.rows, all, sizeof all);
    _tile_loadconfig(&shapes);
    registers_rows = rows;
}

// Evenly spaced rows of a matrix in memory. Byte is const char for reading and char for writing.
template <class Byte>
struct Spaced {
    Byte* at;
    std::int64_t bytes;  // the distance from one row to the next

    // The k-th part of the first row; each part fills one register.
    Byte* part(std::int64_t k) const { return at + k * kRegisterBytes; }
    Spaced below() const { return {at + kRegisterRows * bytes, bytes}; }
};

using RowsRead = Spaced<const char>;
using RowsWritten = Spaced<char>;

// A block of packed weights, read one register at a time: 16 lanes of k, in rows that are `Tile` lanes apart.
template <int Tile>
struct PackedBlock {
    static constexpr std::int64_t bytes = Tile * sizeof(std::uint32_t);

    const std::uint32_t* at;

    const std::uint32_t* vector(int v, std::int64_t k) const { return at + k * kRegisterRows * Tile + v * kRegisterRows; }
};

// Up to 16 rows: adds to the sums of V vectors of units, over `count` registers of k. Two registers of weights alternate, so that
// one is loaded while the other is multiplied.
template <int V, int Tile>
inline void multiply_low(RowsRead a, std::int64_t count, PackedBlock<Tile> w, RowsWritten sums) {
    HIDDENSTATE_BEGIN_SUM(0, sums.part(0), sums.bytes);
    if constexpr (V > 1) HIDDENSTATE_BEGIN_SUM(1, sums.part(1), sums.bytes);
    if constexpr (V > 2) HIDDENSTATE_BEGIN_SUM(2, sums.part(2), sums.bytes);
    if constexpr (V > 3) HIDDENSTATE_BEGIN_SUM(3, sums.part(3), sums.bytes);
    for (std::int64_t k = 0; k < count; ++k) {
        _tile_loadd(4, a.part(k), a.bytes);
        _tile_loadd(6, w.vector(0, k), w.bytes);
        HIDDENSTATE_ADD_PRODUCT(0, 4, 6);
        if constexpr (V > 1) {
            _tile_loadd(7, w.vector(1, k), w.bytes);
            HIDDENSTATE_ADD_PRODUCT(1, 4, 7);
        }
        if constexpr (V > 2) {
            _tile_loadd(6, w.vector(2, k), w.bytes);
            HIDDENSTATE_ADD_PRODUCT(2, 4, 6);
        }
        if constexpr (V > 3) {
            _tile_loadd(7, w.vector(3, k), w.bytes);
            HIDDENSTATE_ADD_PRODUCT(3, 4, 7);
        }
    }
    _tile_stored(0, sums.part(0), sums.bytes);
    if constexpr (V > 1) _tile_stored(1, sums.part(1), sums.bytes);
    if constexpr (V > 2) _tile_stored(2, sums.part(2), sums.bytes);
    if constexpr (V > 3) _tile_stored(3, sums.part(3), sums.bytes);
}

// Up to 32 rows: adds to the sums of vector v and, with `Two`, of vector v + 1.
template <bool Two, int Tile>
inline void multiply_high(RowsRead a, std::int64_t count, PackedBlock<Tile> w, int v, RowsWritten sums) {
    const RowsRead below = a.below();
    const RowsWritten low = sums, high = sums.below();
    HIDDENSTATE_BEGIN_SUM(0, low.part(v), low.bytes);
    HIDDENSTATE_BEGIN_SUM(2, high.part(v), high.bytes);
    if constexpr (Two) HIDDENSTATE_BEGIN_SUM(1, low.part(v + 1), low.bytes);
    if constexpr (Two) HIDDENSTATE_BEGIN_SUM(3, high.part(v + 1), high.bytes);
    for (std::int64_t k = 0; k < count; ++k) {
        _tile_loadd(4, a.part(k), a.bytes);
        _tile_loadd(5, below.part(k), below.bytes);
        _tile_loadd(6, w.vector(v, k), w.bytes);
        HIDDENSTATE_ADD_PRODUCT(0, 4, 6);
        HIDDENSTATE_ADD_PRODUCT(2, 5, 6);
        if constexpr (Two) {
            _tile_loadd(7, w.vector(v + 1, k), w.bytes);
            HIDDENSTATE_ADD_PRODUCT(1, 4, 7);
            HIDDENSTATE_ADD_PRODUCT(3, 5, 7);
        }
    }
    _tile_stored(0, low.part(v), low.bytes);
    _tile_stored(2, high.part(v), high.bytes);
    if constexpr (Two) _tile_stored(1, low.part(v + 1), low.bytes);
    if constexpr (Two) _tile_stored(3, high.part(v + 1), high.bytes);
}

// sums[r][v] += sum_k a[r][k] w[k][v], for up to 32 rows of `count` registers each and V vectors of packed weights.
template <int Tile>
inline void multiply_evenly(int V, int rows, RowsRead a, std::int64_t count, PackedBlock<Tile> w, RowsWritten sums) {
    set_up_registers(rows);
    __asm__ volatile("" ::: "memory");  // GCC does not know that the instructions below read memory, and might move stores past them
    if (rows <= kRegisterRows) {
        constexpr std::array low{multiply_low<1, Tile>, multiply_low<2, Tile>, multiply_low<3, Tile>, multiply_low<4, Tile>};
        return low[static_cast<std::size_t>(V - 1)](a, count, w, sums);
    }
    for (int v = 0; v < V; v += 2) {
        if (v + 1 < V) multiply_high<true>(a, count, w, v, sums);
        else multiply_high<false>(a, count, w, v, sums);
    }
}

// Whether consecutive rows are all the same distance apart.
inline bool evenly_spaced(const bfloat16* const* rows, std::int64_t count) {
    const auto at = [rows](std::int64_t r) { return reinterpret_cast<std::uintptr_t>(rows[r]); };
    for (std::int64_t r = 2; r < count; ++r) {
        if (at(r) - at(r - 1) != at(1) - at(0)) return false;
    }
    return true;
}

// sums[r][v] += sum_k a[r][k] w[k][v], for up to 32 rows with K elements each and V vectors of packed weights, which are zero-padded to a
// whole register. `bytes` is the distance from one row of sums to the next. The sum of a row does not depend on the number of rows.
template <int Tile>
inline void multiply_pairs(int V, int rows, const bfloat16* const* a, std::int64_t K, const std::uint32_t* w, float* sums,
                           std::int64_t bytes) {
    constexpr std::int64_t kNumbers = kRegisterBytes / sizeof(bfloat16), kCopied = 512;
    const RowsWritten to{reinterpret_cast<char*>(sums), bytes};
    std::int64_t k = 0;
    if (evenly_spaced(a, rows)) {
        k = K / kNumbers * kNumbers;
        const char* const first = reinterpret_cast<const char*>(a[0]);
        const RowsRead all{first, rows > 1 ? reinterpret_cast<const char*>(a[1]) - first : 0};
        if (k) multiply_evenly(V, rows, all, k / kNumbers, PackedBlock<Tile>{w}, to);
    }
    // Copies data that a register can't load in place: unevenly spaced rows, and the rest of a row if it does not fill a register.
    for (; k < K; k += kCopied) {
        alignas(64) bfloat16 copies[2 * kRegisterRows][kCopied];
        const std::int64_t n = std::min(kCopied, K - k);
        const std::int64_t registers = (n + kNumbers - 1) / kNumbers;
        for (int r = 0; r < rows; ++r) {
            std::fill(std::copy_n(a[r] + k, n, copies[r]), copies[r] + registers * kNumbers, bfloat16{});
        }
        const RowsRead all{reinterpret_cast<const char*>(copies), sizeof copies[0]};
        multiply_evenly(V, rows, all, registers, PackedBlock<Tile>{w + k / 2 * Tile}, to);
    }
}

}  // namespace
}  // namespace hiddenstate

#else

namespace hiddenstate {
namespace {

// Other instruction sets have no such registers, so there is nothing to set up.
class MatrixRegisters {
public:
    MatrixRegisters() {}
};

}  // namespace
}  // namespace hiddenstate

#endif
