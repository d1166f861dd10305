// Packs rows of a matrix as columns, and transposes vectors in registers.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// One exchange of a transposition: swaps the lanes of a whose index has the bit `Step` with the lanes of b whose index does not.
template <int Step, int... J>
inline std::pair<vf, vf> exchanged(vf a, vf b, std::integer_sequence<int, J...>) {
    return {__builtin_shufflevector(a, b, ((J & Step) ? kLanes + J - Step : J)...),
            __builtin_shufflevector(a, b, ((J & Step) ? kLanes + J : J + Step)...)};
}

// Transposes kLanes vectors of kLanes numbers, by exchanges at distances 1, 2, 4, ...: lane k of row j becomes lane j of row k.
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

// Packs two numbers adjacent in k into one lane.
inline std::uint32_t pair_of(bfloat16 first, bfloat16 second) {
    return first.bits | static_cast<std::uint32_t>(second.bits) << 16;
}

// The content of a lane: the number at `at` or, for pairs, that number and its successor; the last one is paired with zero.
inline real word(const real* at, std::int64_t, bool) { return *at; }

inline std::uint32_t word(const bfloat16* at, std::int64_t next, bool last) {
    return pair_of(*at, last ? bfloat16{} : at[next]);
}

inline real word(const float16* at, std::int64_t, bool) { return load(at, 1)[0]; }

// A whole vector of lanes.
inline vf lanes_at(const element* at) {
    vf lanes;
    std::memcpy(&lanes, at, sizeof lanes);
    return lanes;
}

inline vf lanes_at(const float16* at) { return load(at, kLanes); }

#ifndef HIDDENSTATE_INT8  // quads.h defines its own version
// Packs up to kLanes rows of a matrix with K columns as columns that are kTile apart; missing rows are zero.
template <class Stored>
inline void pack_rows(const Stored* w, std::int64_t rows, std::int64_t K, packed* to) {
    constexpr std::int64_t each = kPairs ? 2 : 1;
    const std::int64_t n = filled(K), full = rows == kLanes && K % each == 0 ? n / kLanes * kLanes : 0;
    // Whole squares are transposed in registers; the rest is copied lane by lane.
    for (std::int64_t k = 0; k < full; k += kLanes) {
        vf square[kLanes];
        for (int j = 0; j < kLanes; ++j) square[j] = lanes_at(w + j * K + each * k);
        transpose(square);
        for (int j = 0; j < kLanes; ++j) std::memcpy(to + (k + j) * kTile, &square[j], sizeof(vf));
    }
    for (std::int64_t k = full; k < n; ++k) {
        for (int j = 0; j < kLanes; ++j) to[k * kTile + j] = j < rows ? word(w + j * K + each * k, 1, each * k + 1 == K) : packed{};
    }
    for (std::int64_t k = n; k < depth(K); ++k) std::fill_n(to + k * kTile, kLanes, packed{});
}
#endif

}  // namespace
}  // namespace hiddenstate
