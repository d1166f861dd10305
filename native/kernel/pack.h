// Packs weights in the order in which the tiles read them.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// One exchange of a transposition: of two vectors, swaps the lanes of a whose index has the bit `Step` with those of b whose
// index has not.
template <int Step, int... J>
inline std::pair<vf, vf> exchanged(vf a, vf b, std::integer_sequence<int, J...>) {
    return {__builtin_shufflevector(a, b, ((J & Step) ? kLanes + J - Step : J)...),
            __builtin_shufflevector(a, b, ((J & Step) ? kLanes + J : J + Step)...)};
}

// Transposes kLanes vectors of kLanes numbers, by exchanges at the distances 1, 2, 4, ...: row j, lane k becomes row k, lane j.
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

// Packs two neighbours in k into one lane.
inline std::uint32_t pair_of(bfloat16 first, bfloat16 second) {
    return first.bits | static_cast<std::uint32_t>(second.bits) << 16;
}

// The content of a lane: the number at `at`, or the pair of it and the number `next` elements on; of the last, the pair with
// zero.
inline real word(const real* at, std::int64_t, bool) { return *at; }

inline std::uint32_t word(const bfloat16* at, std::int64_t next, bool last) {
    return pair_of(*at, last ? bfloat16{} : at[next]);
}

// Packs up to kLanes rows of a matrix with K columns as columns that are kTile apart; missing rows are zero.
inline void pack_rows(const element* w, std::int64_t rows, std::int64_t K, packed* to) {
    constexpr std::int64_t each = kPairs ? 2 : 1;
    const std::int64_t n = filled(K), full = rows == kLanes && K % each == 0 ? n / kLanes * kLanes : 0;
    // Whole squares go through registers; the rest lane by lane.
    for (std::int64_t k = 0; k < full; k += kLanes) {
        vf square[kLanes];
        for (int j = 0; j < kLanes; ++j) std::memcpy(&square[j], w + j * K + each * k, sizeof(vf));
        transpose(square);
        for (int j = 0; j < kLanes; ++j) std::memcpy(to + (k + j) * kTile, &square[j], sizeof(vf));
    }
    for (std::int64_t k = full; k < n; ++k) {
        for (int j = 0; j < kLanes; ++j) to[k * kTile + j] = j < rows ? word(w + j * K + each * k, 1, each * k + 1 == K) : packed{};
    }
    for (std::int64_t k = n; k < depth(K); ++k) std::fill_n(to + k * kTile, kLanes, packed{});
}

// Packs the block of the units from u on of a matrix [4H, K] as [depth(K)][gate][kLanes].
inline void pack_gates(const element* w, std::int64_t K, std::int64_t H, std::int64_t u, packed* to) {
    for (std::int64_t g = 0; g < kGates; ++g) {
        pack_rows(w + (g * H + u) * K, std::min<std::int64_t>(kLanes, H - u), K, to + g * kLanes);
    }
}

// Packs the block of the columns from u on of a matrix [K, H] as [depth(K)][kTile].
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

// Sizes in lanes: of a packed layer that reads C features, of its bias, and of a matrix packed by columns.
inline std::int64_t layer_size(std::int64_t C, std::int64_t H, std::int64_t P) {
    return blocks(H, kLanes) * kTile * (depth(C) + depth(P));
}

inline std::int64_t bias_size(std::int64_t H) { return blocks(H, kLanes) * kTile; }

inline std::int64_t matrix_size(std::int64_t K, std::int64_t columns) {
    return blocks(columns, kTile) * kTile * depth(K);
}

// Runs pack(b) for `count` blocks of `size` lanes each, on several threads if there is enough to do.
template <class Pack>
inline void pack_blocks(std::int64_t count, std::int64_t size, int threads, const Pack& pack) {
    constexpr std::int64_t kWorthIt = 1 << 17;
    const int used = count * size < kWorthIt ? 1 : static_cast<int>(std::clamp<std::int64_t>(threads, 1, count));
    run_parallel(used, false, [&](int k) {
        const Range mine = part(count, k, used);
        for (std::int64_t b = mine.first; b < mine.last; ++b) pack(b);
    });
}

// Packs the weights of a layer for the forward scan, W_ih and W_hh of each block one after the other; adds up its biases.
inline void pack_layer(const Weights<HIDDENSTATE_PRECISION>& weights, std::int64_t C, std::int64_t H, std::int64_t P,
                       int threads, void* to, real* bias) {
    const std::int64_t size = kTile * (depth(C) + depth(P));
    pack_blocks(blocks(H, kLanes), size, threads, [&](std::int64_t b) {
        packed* block = static_cast<packed*>(to) + b * size;
        const std::int64_t u = b * kLanes;
        pack_gates(weights.ih, C, H, u, block);
        pack_gates(weights.hh, P, H, u, block + kTile * depth(C));
        std::fill_n(bias + b * kTile, kTile, real{});
        for (const real* one : {weights.b_ih, weights.b_hh}) {
            for (std::int64_t g = 0; one && g < kGates; ++g) {
                for (std::int64_t j = 0; j < kLanes && u + j < H; ++j) {
                    bias[b * kTile + g * kLanes + j] += one[g * H + u + j];
                }
            }
        }
    });
}

// Packs a matrix [rows, K] transposed, so that its rows become columns, like pack_matrix.
inline void pack_transposed(const element* w, std::int64_t rows, std::int64_t K, int threads, packed* to) {
    const std::int64_t size = kTile * depth(K);
    pack_blocks(blocks(rows, kTile), size, threads, [&](std::int64_t b) {
        for (std::int64_t v = 0; v < kGates; ++v) {
            const std::int64_t row = b * kTile + v * kLanes;
            pack_rows(w + row * K, std::clamp<std::int64_t>(rows - row, 0, kLanes), K, to + b * size + v * kLanes);
        }
    });
}

// Packs two rows as one row of pairs; if lanes hold single numbers, copies the first row alone.
inline void interleave(const real* a, const real*, std::int64_t n, real* to) { std::copy_n(a, n, to); }

inline void interleave(const bfloat16* a, const bfloat16* b, std::int64_t n, std::uint32_t* to) {
    for (std::int64_t k = 0; k < n; ++k) to[k] = pair_of(a[k], b[k]);
}

// Packs up to kLanes numbers of two rows as a vector of pairs.
inline vf pairs_of(const bfloat16* a, const bfloat16* b, std::int64_t n) {
    const auto first = (words)bits(load(a, n)), second = (words)bits(load(b, n));  // each number is in the upper half
    return from_bits((vi)(first >> 16 | second));
}

// Packs a matrix [K, columns], block after block of its columns.
inline void pack_matrix(const element* w, std::int64_t K, std::int64_t columns, int threads, packed* to) {
    const std::int64_t size = kTile * depth(K);
    pack_blocks(blocks(columns, kTile), size, threads,
                [&](std::int64_t b) { pack_columns(w, K, columns, b * kTile, to + b * size); });
}

}  // namespace
}  // namespace hiddenstate
