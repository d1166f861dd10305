// Single steps of all layers, for streams.
#pragma once

#include "cell.h"
#include "scan.h"
#include "team.h"
#include "tile.h"

namespace hiddenstate {
namespace {

using StepsJob = Steps<HIDDENSTATE_PRECISION>;

// One block of units of one layer, for all rows.
struct LayerStep {
    const element* input;  // [N, K]
    const element* h;      // [N, H]
    const packed* w;       // packed block
    const real* bias;      // packed block
    real* c;               // [N, H]
    element* next;         // [N, H]
    std::int64_t K, H, u, lanes;

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        const element *below[Height::most] = {}, *before[Height::most] = {};
        vf acc[Height::most][kGates];
        for (int r = 0; r < tall.count; ++r) {
            below[r] = input + (first + r) * K;
            before[r] = h + (first + r) * H;
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(bias + g * kLanes);
        }
        tile(tall, below, K, w, acc);
        tile(tall, before, H, w + depth(K) * kTile, acc);
        for (int r = 0; r < tall.count; ++r) {
            const std::int64_t at = (first + r) * H + u;
            const State state = State::of(Gates(acc[r]), load(c + at, lanes));
            store(c + at, state.c, lanes);
            store(next + at, state.h, lanes);
        }
    }
};

// Some blocks of units of every layer; wait() between what one thread needs of another.
template <class Wait>
void steps_share(const StepsJob& job, int thread, int threads, const Wait& wait) {
    const std::int64_t N = job.N, H = job.H, count = blocks(H, kLanes);
    const Range mine = part(count, thread, threads);
    const std::int64_t first = mine.first * kLanes, units = std::min(mine.last * kLanes, H) - first;
    for (std::int64_t t = 0; t < job.T; ++t) {
        const element* input = job.x + t * N * job.C;
        const packed* w = static_cast<const packed*>(job.w);
        const real* bias = job.bias;
        std::int64_t K = job.C;
        for (std::int64_t layer = 0; layer < job.L; ++layer) {
            element* h = job.h + layer * N * H;
            const std::int64_t block = kTile * (depth(K) + depth(H));
            for (std::int64_t b = mine.first; b < mine.last; ++b) {
                const std::int64_t u = b * kLanes;
                for_tiles(N, LayerStep{input, h, w + b * block, bias + b * kTile, job.c + layer * N * H, job.next, K, H, u,
                                       std::min<std::int64_t>(kLanes, H - u)});
            }
            wait();  // all have read h
            for (std::int64_t n = 0; n < N; ++n) std::copy_n(job.next + n * H + first, units, h + n * H + first);
            if (t + 1 < job.T || layer + 1 < job.L) wait();  // h is whole
            w += count * block, bias += count * kTile;
            input = h, K = H;
        }
        for (std::int64_t n = 0; n < N; ++n) {
            std::copy_n(input + n * H + first, units, job.out + (t * N + n) * H + first);
        }
    }
}

inline void steps(const StepsJob& job) {
    const int threads = static_cast<int>(std::clamp<std::int64_t>(job.threads, 1, blocks(job.H, kLanes)));
    Barrier barrier;
    const bool done = run_team(threads, threads > 1, [&](int k) {
        steps_share(job, k, threads, [&] { if (threads > 1) barrier.wait(threads); });
    });
    if (!done) run_team(1, false, [&](int) { steps_share(job, 0, 1, [] {}); });
}

}  // namespace
}  // namespace hiddenstate
