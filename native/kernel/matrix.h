// Multiplies bfloat16 matrices in the CPU's tile registers (AMX), which have 16 rows of 64 bytes each: one instruction multiplies
// two of them and adds the product to a third.
//
//                        w: 16 pairs of k by 16 units, as packed blocks have them
//                      [6]  [7]
//   a: rows 0-15  [4]  [0]  [1]     sums of rows 0-15        Up to 16 rows have four sums, 0 to 3, of four vectors of
//      rows 16-31 [5]  [2]  [3]     sums of rows 16-31       units; more rows two vectors at a time, as drawn.
#pragma once

#ifdef __AMX_BF16__
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernel/precision.h"

namespace hiddenstate {
namespace {

constexpr int kRegisterRows = 16;
constexpr int kRegisterNumbers = 32;  // bfloat16 numbers of a row: 16 pairs

// How many rows the registers of this thread are set up for; 0: not at all.
thread_local int registers_rows = 0;

// A thread may multiply matrices during its lifetime. At its end the registers are released, because other libraries configure
// them for themselves.
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

// Configures the registers for `rows` rows, unless they are already: the instruction takes longer than a small product.
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

// Rows of a matrix, evenly spaced.
struct Spaced {
    const bfloat16* at;
    std::int64_t bytes;  // from one to the next

    Spaced from(std::int64_t row) const { return {at + row * bytes / std::int64_t{sizeof(bfloat16)}, bytes}; }
};

// A block of packed weights, read register by register: 16 pairs of k, in rows that are `Tile` lanes apart.
template <int Tile>
struct PackedBlock {
    static constexpr std::int64_t bytes = Tile * sizeof(std::uint32_t);

    const std::uint32_t* at;

    const std::uint32_t* vector(int v, std::int64_t k) const { return at + k * kRegisterRows * Tile + v * kRegisterRows; }
};

// Up to 16 rows: adds to the sums of V vectors of units, over `count` registers of k. Two registers of weights alternate, so that
// one is loaded while the other is multiplied.
template <int V, int Tile>
inline void multiply_low(Spaced a, std::int64_t count, PackedBlock<Tile> w, float* sums, std::int64_t bytes) {
    constexpr int n = kRegisterRows;
    _tile_loadd(0, sums, bytes);
    if constexpr (V > 1) _tile_loadd(1, sums + n, bytes);
    if constexpr (V > 2) _tile_loadd(2, sums + 2 * n, bytes);
    if constexpr (V > 3) _tile_loadd(3, sums + 3 * n, bytes);
    for (std::int64_t k = 0; k < count; ++k) {
        _tile_loadd(4, a.at + k * kRegisterNumbers, a.bytes);
        _tile_loadd(6, w.vector(0, k), w.bytes);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (V > 1) {
            _tile_loadd(7, w.vector(1, k), w.bytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (V > 2) {
            _tile_loadd(6, w.vector(2, k), w.bytes);
            _tile_dpbf16ps(2, 4, 6);
        }
        if constexpr (V > 3) {
            _tile_loadd(7, w.vector(3, k), w.bytes);
            _tile_dpbf16ps(3, 4, 7);
        }
    }
    _tile_stored(0, sums, bytes);
    if constexpr (V > 1) _tile_stored(1, sums + n, bytes);
    if constexpr (V > 2) _tile_stored(2, sums + 2 * n, bytes);
    if constexpr (V > 3) _tile_stored(3, sums + 3 * n, bytes);
}

// Up to 32 rows: adds to the sums of vector v and, with `Two`, of vector v + 1.
template <bool Two, int Tile>
inline void multiply_high(Spaced a, std::int64_t count, PackedBlock<Tile> w, int v, float* sums, std::int64_t bytes) {
    constexpr int n = kRegisterRows;
    const Spaced below = a.from(n);
    float *const low = sums + v * n, *const high = low + n * bytes / std::int64_t{sizeof(float)};
    _tile_loadd(0, low, bytes);
    _tile_loadd(2, high, bytes);
    if constexpr (Two) _tile_loadd(1, low + n, bytes);
    if constexpr (Two) _tile_loadd(3, high + n, bytes);
    for (std::int64_t k = 0; k < count; ++k) {
        _tile_loadd(4, a.at + k * kRegisterNumbers, a.bytes);
        _tile_loadd(5, below.at + k * kRegisterNumbers, a.bytes);
        _tile_loadd(6, w.vector(v, k), w.bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (Two) {
            _tile_loadd(7, w.vector(v + 1, k), w.bytes);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, low, bytes);
    _tile_stored(2, high, bytes);
    if constexpr (Two) _tile_stored(1, low + n, bytes);
    if constexpr (Two) _tile_stored(3, high + n, bytes);
}

template <int V, int Tile>
inline void multiply_evenly(int rows, Spaced a, std::int64_t count, PackedBlock<Tile> w, float* sums, std::int64_t bytes) {
    if (rows <= kRegisterRows) return multiply_low<V>(a, count, w, sums, bytes);
    multiply_high<(V > 1)>(a, count, w, 0, sums, bytes);
    if constexpr (V > 2) multiply_high<(V > 3)>(a, count, w, 2, sums, bytes);
}

// Whether all rows are at the same distance from one another.
inline bool evenly_spaced(const bfloat16* const* rows, std::int64_t count) {
    const auto at = [rows](std::int64_t r) { return reinterpret_cast<std::uintptr_t>(rows[r]); };
    for (std::int64_t r = 2; r < count; ++r) {
        if (at(r) - at(r - 1) != at(1) - at(0)) return false;
    }
    return true;
}

// sums[r][v] += sum_k a[r][k] w[k][v]: up to 32 rows with K numbers each, V vectors of packed weights, which are filled up with
// zeros to a whole register; `bytes` from one row of sums to the next. The sum of a row does not depend on the number of rows.
template <int V, int Tile>
inline void multiply_matrices(int rows, const bfloat16* const* a, std::int64_t K, const std::uint32_t* w, float* sums,
                              std::int64_t bytes) {
    constexpr std::int64_t kCopied = 512;
    set_up_registers(rows);
    std::int64_t k = 0;
    if (evenly_spaced(a, rows)) {
        const Spaced all{a[0], rows > 1 ? reinterpret_cast<const char*>(a[1]) - reinterpret_cast<const char*>(a[0]) : 0};
        k = K / kRegisterNumbers * kRegisterNumbers;
        if (k) multiply_evenly<V>(rows, all, k / kRegisterNumbers, PackedBlock<Tile>{w}, sums, bytes);
    }
    // Copies what a register can't load in place: rows at uneven distances, and the rest of a row that fills no register.
    for (; k < K; k += kCopied) {
        alignas(64) bfloat16 copies[2 * kRegisterRows][kCopied];
        const std::int64_t n = std::min(kCopied, K - k);
        const std::int64_t registers = (n + kRegisterNumbers - 1) / kRegisterNumbers;
        for (int r = 0; r < rows; ++r) {
            std::fill(std::copy_n(a[r] + k, n, copies[r]), copies[r] + registers * kRegisterNumbers, bfloat16{});
        }
        const PackedBlock<Tile> block{w + k / 2 * Tile};
        multiply_evenly<V>(rows, Spaced{copies[0], sizeof copies[0]}, registers, block, sums, bytes);
    }
}

}  // namespace
}  // namespace hiddenstate

#else

namespace hiddenstate {
namespace {

// Other instruction sets have no such registers: nothing to set up.
class MatrixRegisters {
public:
    MatrixRegisters() {}
};

}  // namespace
}  // namespace hiddenstate

#endif
