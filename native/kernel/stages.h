// Runs layers and directions that have few units, each on its own thread.
//
// A step with few units is too short for threads to share: the barrier would cost as much as they gain. But the two directions of a layer
// are independent, and a layer can read the first steps of the layer below while that layer computes the next ones:
//
//     thread 0   layer 0:  steps 0-7 | 8-15  | 16-23 | ...
//     thread 1   layer 1:            | 0-7   | 8-15  | ...
#pragma once

#include <memory>
#include <vector>

#include "kernel/forward.h"
#include "threads/thresholds.h"

namespace hiddenstate {
namespace {

// A layer and direction that one thread runs, chunk by chunk. Its memory is allocated on construction.
class Stage {
public:
    Stage(const LayerForward& given, std::int64_t chunk_steps)
        : job_(given), chunk_steps_(chunk_steps), state_(job_),
          scratch_(chunk_steps * job_.N * blocks(job_.H, kUnits) * kTile),
          worker_(state_, {0, job_.N}, {0, job_.H}, {0, job_.P}, chunk_steps, false) {
        job_.threads = 1;
    }

    void begin() {
        state_.pack();
        worker_.begin();
    }

    // Runs the chunk that begins with the k-th step in reading order; returns the start of the next one.
    std::int64_t run_chunk(std::int64_t k) {
        worker_.run_chunk(k, scratch_.data(), {});
        return std::min(k + chunk_steps_, job_.T);
    }

    void end() { worker_.end(); }

private:
    LayerForward job_;  // the members below refer to it
    const std::int64_t chunk_steps_;
    const ForwardState state_;
    const Buffer<real> scratch_;
    ForwardWorker worker_;
};

using Stages = std::vector<std::unique_ptr<Stage>>;

inline Stages stages_of(const std::vector<LayerForward>& jobs, std::int64_t chunk_steps) {
    Stages stages;
    for (const LayerForward& job : jobs) stages.push_back(std::make_unique<Stage>(job, chunk_steps));
    return stages;
}

// Runs layers of one direction, each of which reads the output of the previous one; the first layers run on the first thread. Returns false
// without running anything if there are too few threads.
inline bool run_pipeline(const std::vector<LayerForward>& jobs, int threads) {
    constexpr std::int64_t kChunkSteps = 8;
    const Stages stages = stages_of(jobs, kChunkSteps);
    const auto count = static_cast<std::int64_t>(jobs.size());
    const int used = static_cast<int>(std::min<std::int64_t>(threads, count));
    std::vector<Progress> done(static_cast<std::size_t>(used));  // the number of steps that each thread's last layer has computed
    return run_parallel(used, true, [&](int thread) {
        const Range mine = part(count, thread, used);
        const auto each = [&](const auto& what) {
            for (std::int64_t layer = mine.first; layer < mine.last; ++layer) what(*stages[static_cast<std::size_t>(layer)]);
        };
        each([](Stage& stage) { stage.begin(); });
        for (std::int64_t k = 0, next = 0; k < jobs[0].T; k = next) {
            if (thread > 0) done[static_cast<std::size_t>(thread - 1)].wait_for(std::min(k + kChunkSteps, jobs[0].T));
            each([&](Stage& stage) { next = stage.run_chunk(k); });
            done[static_cast<std::size_t>(thread)].publish(next);
        }
        each([](Stage& stage) { stage.end(); });
    });
}

// Runs independent jobs, each on its own thread.
inline void run_apart(const std::vector<LayerForward>& jobs, int threads) {
    const std::int64_t rows = std::max<std::int64_t>(jobs[0].N, 1);
    const Stages stages = stages_of(jobs, std::clamp<std::int64_t>(chunk_rows(jobs[0].H) / rows, 1, std::max<std::int64_t>(jobs[0].T, 1)));
    const auto count = static_cast<std::int64_t>(jobs.size());
    run_parallel(static_cast<int>(std::min<std::int64_t>(threads, count)), false, [&](int k) {
        Stage& stage = *stages[static_cast<std::size_t>(k)];
        stage.begin();
        for (std::int64_t step = 0; step < jobs[0].T;) step = stage.run_chunk(step);
        stage.end();
    });
}

}  // namespace
}  // namespace hiddenstate
