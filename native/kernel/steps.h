// Runs single steps of all layers on packed weights, for streams. It changes the states in place, and allocates nothing.
#pragma once

#include <vector>

#include "kernel/cell.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// Where the n-th row of those that step lies among the rows of the states.
struct StateRows {
    const std::int64_t* rows;  // or null

    std::int64_t operator()(std::int64_t n) const { return rows ? rows[n] : n; }
};

// The rows that a step multiplies, K numbers each, in the form that tiles read.
#ifdef HIDDENSTATE_INT8
class StepRows {
public:
    // `memory`: of this thread, for as long as the rows are read.
    StepRows(const element* first, StateRows at, std::int64_t K, std::int64_t N, std::vector<real>& memory) : size_(row_size(K)) {
        if (static_cast<std::int64_t>(memory.size()) < N * size_) memory.resize(static_cast<std::size_t>(N * size_));
        for (std::int64_t n = 0; n < N; ++n) copy_row(first + at(n) * K, K, memory.data() + n * size_);
        copies_ = memory.data();
    }

    const element* operator()(std::int64_t n) const { return copies_ + n * size_; }

private:
    std::int64_t size_;
    const real* copies_;
};

// Kept from step to step, so that a step allocates nothing.
inline std::vector<real>& memory_of_rows(int which) {
    thread_local std::vector<real> memory[2];
    return memory[which];
}
#else
class StepRows {
public:
    StepRows(const element* first, StateRows at, std::int64_t K, std::int64_t, int) : first_(first), at_(at), K_(K) {}

    const element* operator()(std::int64_t n) const { return first_ + at_(n) * K_; }

private:
    const element* first_;
    StateRows at_;
    std::int64_t K_;
};

inline int memory_of_rows(int) { return 0; }
#endif

// One block of units of one layer at one step, for all rows that step.
struct LayerStep {
    StepRows inputs, hidden;
    StateRows states_at;
    const packed* w;       // packed block
    const real* bias;      // packed block
    real* c;               // [batch, H]
    element* next;         // [N, H]: the new h, because other threads still read the old one
    std::int64_t K, H, u, lanes;

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        const element *x[Height::most] = {}, *before[Height::most] = {};
        vf acc[Height::most][kGates];
        for (int r = 0; r < tall.count; ++r) {
            x[r] = inputs(first + r);
            before[r] = hidden(first + r);
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(bias + g * kLanes);
        }
        tile(tall, x, K, w, acc);
        tile(tall, before, H, w + depth(K) * kTile, acc);
        for (int r = 0; r < tall.count; ++r) finish(first + r, acc[r]);
    }

    // Two blocks for a single row.
    static void run_two(const LayerStep& one, const LayerStep& other) {
        const std::int64_t recurrent = depth(one.K) * kTile;
        const packed *const w[2] = {one.w, other.w}, *const w_hh[2] = {one.w + recurrent, other.w + recurrent};
        vf acc[2][kGates];
        for (int g = 0; g < kGates; ++g) {
            acc[0][g] = load(one.bias + g * kLanes), acc[1][g] = load(other.bias + g * kLanes);
        }
        tile_of_two(one.inputs(0), one.K, w, acc);
        tile_of_two(one.hidden(0), one.H, w_hh, acc);
        one.finish(0, acc[0]), other.finish(0, acc[1]);
    }

    void finish(std::int64_t n, const vf (&z)[kGates]) const {
        const std::int64_t at = states_at(n) * H + u;
        const State state = State::of(Gates(z), load(c + at, lanes));
        store(c + at, state.c, lanes);
        store(next + n * H + u, state.h, lanes);
    }
};

// What one thread does: some blocks of units of every layer. Calls wait() where it needs what other threads compute.
template <class Wait>
void steps_of_thread(const Call<HIDDENSTATE_PRECISION>& call, int thread, int threads, const Wait& wait) {
    const std::int64_t N = call.N, H = call.H, count = blocks(H, kLanes), of_layer = call.packed.batch * H;
    const StateRows every{nullptr}, stepped{call.packed.rows};
    const std::int64_t layers = static_cast<std::int64_t>(call.layers.size());
    const Range mine = part(count, thread, threads);
    const std::int64_t first = mine.first * kLanes, units = std::min(mine.last * kLanes, H) - first;
    for (std::int64_t t = 0; t < call.T; ++t) {
        const element* input = call.x + t * N * call.C;
        const packed* w = static_cast<const packed*>(call.packed.weights);
        const real* bias = call.packed.bias;
        std::int64_t K = call.C;
        const bool from_last = call.packed.from_last != (t % 2 == 1);
        for (std::int64_t layer = 0; layer < layers; ++layer) {
            element* h = call.h_n + layer * of_layer;
            const std::int64_t block = kTile * (depth(K) + depth(H));
            const StepRows inputs(input, layer == 0 ? every : stepped, K, N, memory_of_rows(0));
            const StepRows hidden(h, stepped, H, N, memory_of_rows(1));
            const auto step_of_block = [&](std::int64_t k) {
                const std::int64_t b = from_last ? mine.last - 1 - k : mine.first + k, u = b * kLanes;
                return LayerStep{inputs, hidden, stepped, w + b * block, bias + b * kTile, call.c_n + layer * of_layer,
                                 call.packed.scratch, K, H, u, std::min<std::int64_t>(kLanes, H - u)};
            };
            std::int64_t k = 0;
            if (!kMatrices && N == 1) {
                for (; k + 1 < mine.size(); k += 2) LayerStep::run_two(step_of_block(k), step_of_block(k + 1));
            }
            for (; k < mine.size(); ++k) for_tiles(N, step_of_block(k));
            wait();  // all threads have read h, so that it may be written
            for (std::int64_t n = 0; n < N; ++n) {
                std::copy_n(call.packed.scratch + n * H + first, units, h + stepped(n) * H + first);
            }
            if (t + 1 < call.T || layer + 1 < layers) wait();  // all threads have written their units of h
            w += count * block, bias += count * kTile;
            input = h, K = H;
        }
        for (std::int64_t n = 0; n < N; ++n) {
            std::copy_n(input + stepped(n) * H + first, units, call.out + (t * N + n) * H + first);
        }
    }
}

inline void steps(const Call<HIDDENSTATE_PRECISION>& call) {
    const std::int64_t rows = static_cast<std::int64_t>(call.layers.size()) * call.packed.batch;
    if (call.h0 != call.h_n) std::copy_n(call.h0, rows * call.H, call.h_n);
    if (call.c0 != call.c_n) std::copy_n(call.c0, rows * call.H, call.c_n);
    const int threads = static_cast<int>(std::clamp<std::int64_t>(call.threads, 1, blocks(call.H, kLanes)));
    Barrier barrier;
    const bool done = run_parallel(threads, threads > 1, [&](int k) {
        steps_of_thread(call, k, threads, [&] { if (threads > 1) barrier.wait(threads); });
    });
    if (!done) run_parallel(1, false, [&](int) { steps_of_thread(call, 0, 1, [] {}); });
}

}  // namespace
}  // namespace hiddenstate
