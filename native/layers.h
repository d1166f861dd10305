// A whole LSTM: layers one above the other, each of one direction or two.
#pragma once

#include "forward.h"
#include "scan.h"

namespace hiddenstate {
namespace {

using LayersJob = Layers<HIDDENSTATE_PRECISION>;

// What a layer reads: the input, or the output of the one below.
struct LayerInput {
    const element* x;
    std::int64_t features, step, row;
};

// One layer and direction, whose number among all is `track`, into its part of `out`.
inline void run_track(const LayersJob& job, std::int64_t track, const LayerInput& input, element* out) {
    const std::int64_t D = job.directions, N = job.N, P = job.P, C = input.features;
    const std::int64_t row = track * N;  // of the states, all of which lie one after another
    forward({input.x, job.weights[static_cast<std::size_t>(track)], job.h0 ? job.h0 + row * P : nullptr,
             job.c0 ? job.c0 + row * job.H : nullptr, job.lengths, job.reset, nullptr, out + track % D * P, nullptr,
             nullptr, nullptr, job.h_n + row * P, job.c_n + row * job.H, job.T, N, C, job.H, P, input.step, input.row,
             N * D * P, D * P, track % D == 1, job.threads});
}

inline void layers(const LayersJob& job) {
    const std::int64_t tracks = static_cast<std::int64_t>(job.weights.size()), D = job.directions, width = D * job.P;
    // Layers in between write to one of two buffers and read from the other.
    const std::int64_t between = tracks > D ? job.T * job.N * width : 0;
    const Buffer<element> buffers[2] = {Buffer<element>(between), Buffer<element>(tracks > 2 * D ? between : 0)};
    LayerInput input{job.x, job.C, job.x_step, job.x_row};
    for (std::int64_t track = 0; track < tracks; track += D) {
        element* out = track + D < tracks ? buffers[track / D % 2].data() : job.out;
        for (std::int64_t direction = 0; direction < D; ++direction) run_track(job, track + direction, input, out);
        input = {out, width, job.N * width, width};
    }
}

}  // namespace
}  // namespace hiddenstate
