// Minimum sizes at which an optimisation pays off. Each is defined only here, with its unit and its measurement.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/precision.h"

namespace hiddenstate {

// Multiplications of a step's recurrent product (N * H * H) above which several threads gain more than their barrier at each step
// costs: a barrier takes about 0.3 us, 4,096 multiplications about as long on one core.
constexpr std::int64_t kThreadedStep = 1 << 12;

// Multiplications of a whole call above which waking threads pays: it takes some microseconds; 262,144 multiplications take
// 5 to 10.
constexpr std::int64_t kThreadedCall = 1 << 18;

// Multiplications of a whole call up to which it is timed on one thread now and then, in case another program keeps a core busy: it
// takes some 20 ms. For longer calls a single trial would cost more than it is worth.
constexpr std::int64_t kTunedCall = std::int64_t{1} << 32;

// Multiplications of a single packed step (its rows times the weights of a gate) above which the weights of a layer exceed one
// core's cache, so that several cores, each with its part, read them faster.
constexpr std::int64_t kThreadedPackedStep = 1 << 15;

// Multiplications of a step above which it releases the GIL: releasing and taking it costs a fraction of a microsecond.
constexpr std::int64_t kWithoutGil = 1 << 15;

// For a few rows, a step of a cell is faster on unpacked weights; for more, on weights packed block by block. Measured in
// benchmarks/cell_steps.py.
template <class Precision>
inline constexpr std::int64_t kUnpackedRows = 3;
template <>
inline constexpr std::int64_t kUnpackedRows<BF16> = 2;

// Multiplications of a step's recurrent product up to which layers gain more from one thread each than from threads that share
// their units (kernel/stages.h). Directions, which wait for nothing, gain up to a larger number. More than kStagedRows rows are
// divided among threads instead.
constexpr std::int64_t kStagedStep = 96 * 96, kApartStep = 128 * 128, kStagedRows = 4;

// Whether a call of `count` layers and directions runs each on its own thread.
inline bool runs_in_stages(std::int64_t N, std::int64_t H, std::int64_t count, std::int64_t directions) {
    return count > 1 && N <= kStagedRows && N * H * H <= (directions > 1 ? kApartStep : kStagedStep);
}

// Bytes of records and gradients of a call up to which they may stay in the cache: then they are written to it, because bypassing
// it takes longer while there is room for them beside the weights.
constexpr std::size_t kRecordsInCache = std::size_t{1} << 20;

// How many of `most` threads are worth waking for such a call, each of whose layers and directions reads about C features.
inline int threads_worth_waking_for_stages(std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H, std::int64_t count,
                                           int most) {
    return count * T * N * H * (H + C) >= kThreadedCall ? most : 1;
}

// The number of threads, at most `most`, that are worth waking for a call.
inline int threads_worth_waking(std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H, int most) {
    const std::int64_t step = N * H * H;
    return step >= kThreadedStep && T * (step + N * H * C) >= kThreadedCall ? most : 1;
}

}  // namespace hiddenstate
