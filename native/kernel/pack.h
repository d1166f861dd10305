// Packs weights in the order in which the tiles of the forward scan read them.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernel/pack_rows.h"
#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// Packs the block of a matrix [kGates * H, K] that begins at unit u, as [depth(K)][vector of units][gate][kLanes].
template <class Stored>
inline void pack_gates(const Stored* w, std::int64_t K, std::int64_t H, std::int64_t u, packed* to) {
    for (std::int64_t v = 0; v < kColumns; ++v) {
        const std::int64_t g = v % kGates, first = u + v / kGates * kLanes;
        pack_rows(w + (g * H + first) * K, std::clamp<std::int64_t>(H - first, 0, kLanes), K, to + v * kLanes);
    }
}

// Whether weights may be stored in float16.
constexpr bool kWidens = std::is_same_v<element, float> && !kQuads;

// The sizes, in lanes, of a packed layer that reads C features, of its bias, and of a matrix packed by columns.
inline std::int64_t layer_size(std::int64_t C, std::int64_t H, std::int64_t P) {
    return blocks(H, kUnits) * kTile * (depth(C) + depth(P));
}

constexpr std::int64_t kBiases = kAcross * kSums * kLanes;  // per block

inline std::int64_t bias_size(std::int64_t H) { return blocks(H, kUnits) * kBiases; }

inline std::int64_t matrix_size(std::int64_t K, std::int64_t columns) {
    return blocks(columns, kTile) * kTile * depth(K);
}

// Runs pack(b) for `count` blocks of `size` lanes each, on several threads if there is enough work.
template <class Pack>
inline void pack_blocks(std::int64_t count, std::int64_t size, int threads, const Pack& pack) {
    constexpr std::int64_t kWorthIt = 1 << 17;
    const int used = count * size < kWorthIt ? 1 : static_cast<int>(std::clamp<std::int64_t>(threads, 1, count));
    run_parallel(used, false, [&](int k) {
        const Range mine = part(count, k, used);
        for (std::int64_t b = mine.first; b < mine.last; ++b) pack(b);
    });
}

// Packs the weights of a layer for the forward scan, each block's W_ih followed by its W_hh, and adds the two biases.
inline void pack_layer(const Weights<HIDDENSTATE_PRECISION>& weights, std::int64_t C, std::int64_t H, std::int64_t P,
                       int threads, void* to, real* bias) {
    const std::int64_t size = kTile * (depth(C) + depth(P));
    pack_blocks(blocks(H, kUnits), size, threads, [&](std::int64_t b) {
        packed* block = static_cast<packed*>(to) + b * size;
        const std::int64_t u = b * kUnits;
        const auto pack_both = [&](const auto* ih, const auto* hh) {
            pack_gates(ih, C, H, u, block);
            pack_gates(hh, P, H, u, block + kTile * depth(C));
        };
        [&](const auto& of) {  // generic, so that what can't be widened is not compiled
            if constexpr (kWidens) {
                if (of.half_ih) return pack_both(of.half_ih, of.half_hh);
            }
            pack_both(of.ih, of.hh);
        }(weights);
        std::fill_n(bias + b * kBiases, kBiases, real{});
        for (const real* one : {weights.b_ih, weights.b_hh}) {
            for (std::int64_t g = 0; one && g < kGates; ++g) {
                const std::int64_t sum = kApart && one == weights.b_hh && g == kGates - 1 ? kSums - 1 : g;
                for (std::int64_t j = 0; j < kUnits && u + j < H; ++j) {
                    bias[b * kBiases + sum * kLanes + j] += one[g * H + u + j];
                }
            }
        }
    });
}

// The size in bytes of a layer packed ahead for single steps and repeated calls. Such layers have no projection.
inline std::int64_t packed_bytes(std::int64_t C, std::int64_t H) {
    return layer_size(C, H, H) * static_cast<std::int64_t>(sizeof(packed));
}

inline void pack_for_steps(const Weights<HIDDENSTATE_PRECISION>& weights, std::int64_t C, std::int64_t H, int threads, void* to,
                           real* bias) {
    pack_layer(weights, C, H, H, threads, to, bias);
}

// Packs the transpose of a matrix [rows, K] like pack_matrix, so that its rows become columns.
inline void pack_transposed(const element* w, std::int64_t rows, std::int64_t K, int threads, packed* to) {
    const std::int64_t size = kTile * depth(K);
    pack_blocks(blocks(rows, kTile), size, threads, [&](std::int64_t b) {
        for (std::int64_t v = 0; v < kColumns; ++v) {
            const std::int64_t row = b * kTile + v * kLanes;
            pack_rows(w + row * K, std::clamp<std::int64_t>(rows - row, 0, kLanes), K, to + b * size + v * kLanes);
        }
    });
}

}  // namespace
}  // namespace hiddenstate
