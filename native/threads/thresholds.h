// Thresholds of sizes at which optimisations pay off. Each is defined only here, with its unit and the measurement behind it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/precision.h"

namespace hiddenstate {

// Number of multiplications in a step's recurrent product (N * H * H) above which several threads gain more than their barrier at each step
// costs: a barrier takes about 0.3 us, as do 4,096 multiplications on one core.
constexpr std::int64_t kThreadedStep = 1 << 12;

// Number of multiplications in a whole call above which waking threads pays off: that takes a few microseconds, and 262,144 multiplications
// take 5 to 10 us.
constexpr std::int64_t kThreadedCall = 1 << 18;

// Number of multiplications up to which a whole call, which then takes about 20 ms, is occasionally timed on one thread, in case another
// program keeps a core busy. For longer calls, a single trial would cost more than it is worth.
constexpr std::int64_t kTunedCall = std::int64_t{1} << 32;

// Number of multiplications in a single packed step (its rows times the weights of a gate) above which a layer's weights exceed one core's
// cache, so that several cores, each with its own part, read them faster.
constexpr std::int64_t kThreadedPackedStep = 1 << 15;

// Number of multiplications above which a step releases the GIL: releasing and reacquiring it costs a fraction of a microsecond.
constexpr std::int64_t kWithoutGil = 1 << 15;

// Number of rows up to which a cell's step is faster on unpacked weights; for more rows, packing them block by block is faster. Measured in
// benchmarks/cell_steps.py.
template <class Precision>
inline constexpr std::int64_t kUnpackedRows = 3;
template <>
inline constexpr std::int64_t kUnpackedRows<BF16> = 2;

// Number of multiplications in a step's recurrent product up to which layers gain more from one thread each than from threads that share
// their units (kernel/stages.h). Directions never wait for each other, so their limit is higher. More than kStagedRows rows are divided
// among threads instead.
constexpr std::int64_t kStagedStep = 96 * 96, kApartStep = 128 * 128, kStagedRows = 4;

// Whether a call with `count` layers and directions runs each on its own thread.
inline bool runs_in_stages(std::int64_t N, std::int64_t H, std::int64_t count, std::int64_t directions) {
    return count > 1 && N <= kStagedRows && N * H * H <= (directions > 1 ? kApartStep : kStagedStep);
}

// Size in bytes of a call's records and gradients up to which they are written to the cache: bypassing it takes longer while there is room
// for them besides the weights.
constexpr std::size_t kRecordsInCache = std::size_t{1} << 20;

// How many of `most` threads are worth waking for such a call, whose layers and directions each read about C features.
inline int threads_worth_waking_for_stages(std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H, std::int64_t count,
                                           int most) {
    return count * T * N * H * (H + C) >= kThreadedCall ? most : 1;
}

// How many of `most` threads are worth waking for a call.
inline int threads_worth_waking(std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H, int most) {
    const std::int64_t step = N * H * H;
    return step >= kThreadedStep && T * (step + N * H * C) >= kThreadedCall ? most : 1;
}

}  // namespace hiddenstate
