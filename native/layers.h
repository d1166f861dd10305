// A whole LSTM: layers one above the other, each of one direction or two.
#pragma once

#include "backward.h"
#include "forward.h"
#include "scan.h"

namespace hiddenstate {
namespace {

using LayersJob = Layers<HIDDENSTATE_PRECISION>;
using LayersBackwardJob = LayersBackward<HIDDENSTATE_PRECISION>;

// What a layer reads: the input, or the output of the one below.
struct LayerInput {
    const element* x;
    std::int64_t features, step, row;
};

// The k-th of a list, or null where that is empty.
template <class T>
T* at_or_null(const std::vector<T*>& list, std::size_t k) {
    return list.empty() ? nullptr : list[k];
}

// One layer and direction, whose number among all is `track`, into its part of `out`.
inline void run_track(const LayersJob& job, std::int64_t track, const LayerInput& input, element* out) {
    const std::int64_t D = job.directions, N = job.N, P = job.P, H = job.H, C = input.features;
    const std::int64_t row = track * N;  // of the states, all of which lie one after another
    const std::size_t k = static_cast<std::size_t>(track);
    forward({input.x, job.weights[k], job.h0 ? job.h0 + row * P : nullptr,
             job.c0 ? job.c0 + row * H : nullptr, job.lengths, job.reset, nullptr, out + track % D * P,
             at_or_null(job.gates, k), nullptr, at_or_null(job.c, k), job.h_n + row * P, job.c_n + row * H, job.T, N, C, H, P,
             input.step, input.row, N * D * P, D * P, track % D == 1, job.threads});
}

// to = function(a, b), number by number; `to` may be one of them.
template <class Function>
void combine(const element* a, const element* b, std::int64_t count, int threads, element* to, const Function& function) {
    run_team(threads, false, [&](int k) {
        const Range mine = part(blocks(count, kLanes), k, threads);
        for (std::int64_t i = mine.first * kLanes; i < std::min(mine.last * kLanes, count); i += kLanes) {
            const std::int64_t left = count - i;
            store(to + i, function(load(a + i, left), load(b + i, left)), left);
        }
    });
}

// Multiplies with dropout's noise.
inline void drop(const element* from, const element* noise, std::int64_t count, int threads, element* to) {
    combine(from, noise, count, threads, to, [](vf a, vf b) { return a * b; });
}

inline void layers(const LayersJob& job) {
    const std::int64_t tracks = static_cast<std::int64_t>(job.weights.size()), D = job.directions, width = D * job.P;
    const std::int64_t all = job.T * job.N * width;
    if (!job.gates.empty()) keep_freed_memory(static_cast<std::size_t>(tracks) * bytes_of_records(job.T, job.N, job.H));
    // Layers in between write to one of two buffers and read from the other, unless what they give is kept.
    const bool keeps = !job.between.empty(), drops = !job.noise.empty();
    const std::int64_t between = tracks > D && !keeps ? all : 0;
    const Buffer<element> buffers[2] = {Buffer<element>(between), Buffer<element>(tracks > 2 * D ? between : 0)};
    const Buffer<element> dropped(drops && keeps ? all : 0);
    LayerInput input{job.x, job.C, job.x_step, job.x_row};
    for (std::int64_t track = 0; track < tracks; track += D) {
        const std::size_t layer = static_cast<std::size_t>(track / D);
        const bool last = track + D == tracks;
        element* out = last ? job.out : keeps ? job.between[layer] : buffers[layer % 2].data();
        for (std::int64_t direction = 0; direction < D; ++direction) run_track(job, track + direction, input, out);
        input = {out, width, job.N * width, width};
        if (last || !drops) continue;
        element* next = keeps ? dropped.data() : out;
        drop(out, job.noise[layer], all, job.threads, next);
        input.x = next;
    }
}

// The gradient of one layer and direction, of its part of `dout`; of what it reads, into `dx`.
inline BackwardJob track_backward(const LayersBackwardJob& job, std::int64_t track, const LayerInput& input, const element* out,
                                  const element* dout, element* dx) {
    const std::int64_t D = job.directions, N = job.N, P = job.P, H = job.H, row = track * N, direction = track % D;
    const std::size_t k = static_cast<std::size_t>(track);
    const auto& weights = job.weights[k];
    const auto& asked = job.dweights[k];
    return {input.x, weights.ih, weights.hh, weights.hr, job.h0 + row * P, job.c0 + row * H, job.lengths, job.reset, nullptr,
            out + direction * P, job.gates[k], job.c[k], dout + direction * P, job.dh_n ? job.dh_n + row * P : nullptr,
            job.dc_n ? job.dc_n + row * H : nullptr, at_or_null(job.dgates, k), at_or_null(job.dc, k), dx,
            asked.ih, asked.hh, asked.b, asked.hr, job.dh0 + row * P, job.dc0 + row * H, job.T, N, input.features, H, P,
            input.step, input.row, N * D * P, D * P, direction == 1, job.threads};
}

inline void layers_backward(const LayersBackwardJob& job) {
    const std::int64_t tracks = static_cast<std::int64_t>(job.weights.size()), D = job.directions, width = D * job.P;
    const std::int64_t rows = job.T * job.N, all = rows * width;
    const bool drops = !job.noise.empty();
    // Of what the layers in between read, the gradients: one is read while the other is written.
    const Buffer<element> buffers[2] = {Buffer<element>(tracks > D ? all : 0), Buffer<element>(tracks > 2 * D ? all : 0)};
    const Buffer<element> dropped(drops ? all : 0);
    // And what the reverse direction adds to them.
    const std::int64_t widest = std::max(tracks > D ? width : 0, job.dx ? job.C : 0);
    const Buffer<element> other(D > 1 ? rows * widest : 0);
    const element* dout = job.dout;
    for (std::int64_t track = tracks - D; track >= 0; track -= D) {
        const std::size_t layer = static_cast<std::size_t>(track / D);
        LayerInput input{job.x, job.C, job.x_step, job.x_row};
        if (layer > 0) {
            const element* below = job.between[layer - 1];
            if (drops) drop(below, job.noise[layer - 1], all, job.threads, dropped.data());
            input = {drops ? dropped.data() : below, width, job.N * width, width};
        }
        element* dx = layer > 0 ? buffers[(layer - 1) % 2].data() : job.dx;
        const element* out = track + D == tracks ? job.out : job.between[layer];
        std::vector<BackwardJob> directions;
        for (std::int64_t k = 0; k < D; ++k) {
            directions.push_back(track_backward(job, track + k, input, out, dout, k == 0 || !dx ? dx : other.data()));
        }
        backward(directions);
        if (D > 1 && dx) {
            combine(dx, other.data(), rows * input.features, job.threads, dx, [](vf a, vf b) { return a + b; });
        }
        if (layer > 0 && drops) drop(dx, job.noise[layer - 1], all, job.threads, dx);
        dout = dx;
    }
}

}  // namespace
}  // namespace hiddenstate
