// Layers and directions of few units, each on a thread of its own.
//
// A step of few units is too short to be shared by threads: their barrier would cost what they gain. But the two directions of a
// layer do not read each other, and a layer can read the first steps of the layer below while that computes the next ones:
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

// A layer and direction, run by one thread, chunk after chunk.
class Stage {
public:
    Stage(const LayerForward& given, std::int64_t chunk_steps)
        : job_(given), state_(job_), scratch_(chunk_steps * job_.N * blocks(job_.H, kLanes) * kTile),
          worker_(state_, {0, job_.N}, {0, job_.H}, {0, job_.P}, chunk_steps) {
        worker_.begin();
    }

    void run_chunk(std::int64_t k) {
        worker_.run_chunk(k, scratch_.data(), [] {});
    }

    void end() { worker_.end(); }

private:
    const LayerForward job_;  // which the others refer to
    const ForwardState state_;
    const Buffer<real> scratch_;
    ForwardWorker worker_;
};

// Runs layers of one direction, each of which reads the output of the one before, the first ones on the first thread.
// False, and nothing is run, if there are too few threads.
inline bool run_pipeline(const std::vector<LayerForward>& jobs, int threads) {
    constexpr std::int64_t kChunkSteps = 8;
    const auto count = static_cast<std::int64_t>(jobs.size());
    const int used = static_cast<int>(std::min<std::int64_t>(threads, count));
    std::vector<Progress> done(static_cast<std::size_t>(used));  // steps that each thread's last layer has computed
    return run_parallel(used, true, [&](int thread) {
        const Range mine = part(count, thread, used);
        std::vector<std::unique_ptr<Stage>> stages;
        for (std::int64_t layer = mine.first; layer < mine.last; ++layer) {
            LayerForward job = jobs[static_cast<std::size_t>(layer)];
            job.threads = 1;
            stages.push_back(std::make_unique<Stage>(job, kChunkSteps));
        }
        const std::int64_t T = jobs[0].T;
        for (std::int64_t k = 0; k < T; k += kChunkSteps) {
            const std::int64_t next = std::min(k + kChunkSteps, T);
            if (thread > 0) done[static_cast<std::size_t>(thread - 1)].wait_for(next);
            for (auto& stage : stages) stage->run_chunk(k);
            done[static_cast<std::size_t>(thread)].publish(next);
        }
        for (auto& stage : stages) stage->end();
    });
}

// Runs jobs that do not read one another, on a thread each.
inline void run_apart(const std::vector<LayerForward>& jobs, int threads) {
    const auto count = static_cast<std::int64_t>(jobs.size());
    run_parallel(static_cast<int>(std::min<std::int64_t>(threads, count)), false, [&](int k) {
        LayerForward job = jobs[static_cast<std::size_t>(k)];
        job.threads = 1;
        forward_layer(job);
    });
}

}  // namespace
}  // namespace hiddenstate
