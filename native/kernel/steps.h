// Runs single steps of all layers on packed weights, for streams. Updates the states in place, and allocates nothing except two buffers per
// thread for int8 rows.
#pragma once

#include "kernel/cell.h"
#include "kernel/pack.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"
#include "threads/helpers.h"

namespace hiddenstate {
namespace {

// The index of the n-th stepping row among the rows of the states.
struct StateRows {
    const std::int64_t* rows;  // or null

    std::int64_t operator()(std::int64_t n) const { return rows ? rows[n] : n; }
};

// The rows that a step multiplies, with K elements each, in the form that tiles read.
#ifdef HIDDENSTATE_INT8
class StepRows {
public:
    // `memory` belongs to this thread, and must stay valid while the rows are read.
    StepRows(const element* first, StateRows at, std::int64_t K, std::int64_t N, bool matrices, RowMemory& memory) : size_(row_size(K)) {
        real* const copies = memory.take(N * size_);
        for (std::int64_t n = 0; n < N; ++n) copy_row(first + at(n) * K, K, matrices, copies + n * size_);
        copies_ = copies;
    }

    const element* operator()(std::int64_t n) const { return copies_ + n * size_; }

private:
    std::int64_t size_;
    const real* copies_;
};

// Reused from step to step, so that a step allocates nothing.
inline RowMemory& memory_of_rows(int which) {
    thread_local RowMemory memory[2];
    return memory[which];
}
#else
class StepRows {
public:
    StepRows(const element* first, StateRows at, std::int64_t K, std::int64_t, bool, int) : first_(first), at_(at), K_(K) {}

    const element* operator()(std::int64_t n) const { return first_ + at_(n) * K_; }

private:
    const element* first_;
    StateRows at_;
    std::int64_t K_;
};

inline int memory_of_rows(int) { return 0; }
#endif

// Computes one block of units of one layer at one step, for all rows that take part in it.
struct LayerStep {
    StepRows inputs, hidden;
    StateRows states_at;
    const packed* w;       // packed block
    const real* bias;      // packed block
    real* c;               // [batch, H]
    const element* before; // [batch, H]: the hidden states
    element* next;         // [N, H]: the new h, stored separately because other threads still read the old one
    std::int64_t K, H, u, lanes;
    bool relu;

    void run(Height tall, std::int64_t first) const {
        const element *x[kRows] = {}, *h[kRows] = {};
        for (int r = 0; r < tall.count; ++r) x[r] = inputs(first + r), h[r] = hidden(first + r);
        multiply_both(tall, {x, K, w}, {h, H, w + depth(K) * kTile}, bias,
                      [&](int r, const vf (&sums)[kBlockSums]) { finish(first + r, sums); });
    }

    // Computes two blocks for a single row.
    static void run_two(const LayerStep& one, const LayerStep& other) {
        const std::int64_t recurrent = depth(one.K) * kTile;
        const packed *const w[2] = {one.w, other.w}, *const w_hh[2] = {one.w + recurrent, other.w + recurrent};
        const LayerStep* const both[2] = {&one, &other};
        Sums acc[2];
        vf input[2] = {}, sums[kBlockSums];
        for (int g = 0; g < kColumns; ++g) {
            acc[0][g] = load(one.bias + g * kLanes), acc[1][g] = load(other.bias + g * kLanes);
        }
        tile_of_two(one.inputs(0), one.K, w, acc);
        for (int b = 0; kApart && b < 2; ++b) {
            input[b] = acc[b][kGates - 1], acc[b][kGates - 1] = load(both[b]->bias + kGates * kLanes);
        }
        tile_of_two(one.hidden(0), one.H, w_hh, acc);
        for (int b = 0; b < 2; ++b) with_apart(acc[b], input[b], sums), both[b]->finish(0, sums);
    }

    void finish(std::int64_t n, const vf (&sums)[kBlockSums]) const {
        each_gates(sums, relu, {u, lanes}, [&](UnitVector mine, const Gates& gates) HIDDENSTATE_INLINE {
            const std::int64_t at = states_at(n) * H + mine.u;
            const State state = State::of(gates, kMemory ? load(c + at, mine.lanes) : load(before + at, mine.lanes));
            if (kMemory) store(c + at, state.c, mine.lanes);
            store(next + n * H + mine.u, state.h, mine.lanes);
        });
    }
};

// The single steps of a call, computed layer by layer on several threads.
class Steps {
public:
    explicit Steps(const Call<HIDDENSTATE_PRECISION>& call)
        : call_(call), layers_(static_cast<std::int64_t>(call.layers.size())), count_(blocks(call.H, kUnits)) {}

    std::int64_t layers() const { return layers_; }
    bool is_last(std::int64_t t, std::int64_t layer) const { return t + 1 == call_.T && layer + 1 == layers_; }

    // Computes the thread's units of the new h into scratch, because other threads still read the old h.
    void compute(std::int64_t t, std::int64_t layer, int thread, int threads) const {
        const std::int64_t N = call_.N, H = call_.H, K = layer == 0 ? call_.C : H, block = kTile * (depth(K) + depth(H));
        const std::int64_t before = layer == 0 ? 0 : count_ * kTile * (depth(call_.C) + depth(H)) + (layer - 1) * count_ * block;
        const packed* const w = static_cast<const packed*>(call_.packed.weights) + before;
        const real* const bias = call_.packed.bias + layer * count_ * kBiases;
        const bool from_last = call_.packed.from_last != (t % 2 == 1);
        const StateRows every{nullptr}, stepped{call_.packed.rows};
        const Range mine = part(count_, thread, threads);
        const bool matrices = in_matrices(N, std::max(K, H));
        const StepRows inputs(layer == 0 ? call_.x + t * N * K : h_of(layer - 1), layer == 0 ? every : stepped, K, N, matrices,
                              memory_of_rows(0));
        const StepRows hidden(h_of(layer), stepped, H, N, matrices, memory_of_rows(1));
        const auto step_of_block = [&](std::int64_t k) {
            const std::int64_t b = from_last ? mine.last - 1 - k : mine.first + k, u = b * kUnits;
            return LayerStep{inputs, hidden, stepped, w + b * block, bias + b * kBiases,
                             kMemory ? call_.c_n + layer * call_.packed.batch * H : nullptr, h_of(layer), call_.packed.scratch, K, H, u, std::min<std::int64_t>(kUnits, H - u), call_.relu};
        };
        std::int64_t k = 0;
        if (N == 1 && !matrices) {
            for (; k + 1 < mine.size(); k += 2) LayerStep::run_two(step_of_block(k), step_of_block(k + 1));
        }
        for (; k < mine.size(); ++k) for_tiles(N, matrices, step_of_block(k));
    }

    // Copies the thread's units of the new h to the state, after all threads have computed theirs.
    void keep(std::int64_t t, std::int64_t layer, int thread, int threads) const {
        const std::int64_t N = call_.N, H = call_.H;
        const Range mine = part(count_, thread, threads);
        const std::int64_t first = mine.first * kUnits, units = std::min(mine.last * kUnits, H) - first;
        const StateRows stepped{call_.packed.rows};
        for (std::int64_t n = 0; n < N; ++n) {
            const element* from = call_.packed.scratch + n * H + first;
            std::copy_n(from, units, h_of(layer) + stepped(n) * H + first);
            if (layer + 1 == layers_) std::copy_n(from, units, call_.out + (t * N + n) * H + first);
        }
    }

private:
    element* h_of(std::int64_t layer) const { return call_.h_n + layer * call_.packed.batch * call_.H; }

    const Call<HIDDENSTATE_PRECISION>& call_;
    const std::int64_t layers_, count_;  // `count_`: the number of blocks of units
};

// Calls f(t, layer) for all steps and layers in order.
template <class F>
void each_layer(const Call<HIDDENSTATE_PRECISION>& call, const Steps& steps, const F& f) {
    for (std::int64_t t = 0; t < call.T; ++t) {
        for (std::int64_t layer = 0; layer < steps.layers(); ++layer) f(t, layer);
    }
}

// Runs the steps in a parallel region, whose threads wait for one another. Returns false without running anything if there are too few
// threads.
inline bool steps_together(const Call<HIDDENSTATE_PRECISION>& call, const Steps& steps, int threads) {
    Barrier barrier;
    const bool done = run_parallel(threads, threads > 1, [&](int thread) {
        const auto wait = [&] { if (threads > 1) barrier.wait(threads); };
        each_layer(call, steps, [&](std::int64_t t, std::int64_t layer) {
            steps.compute(t, layer, thread, threads);
            if (steps.is_last(t, layer)) return;  // the end of the region is itself a barrier
            wait();
            steps.keep(t, layer, thread, threads);
            wait();
        });
    });
    if (done) steps.keep(call.T - 1, steps.layers() - 1, 0, 1);
    return done;
}

// Runs the steps with helpers. Returns false without running anything if no helpers are available.
inline bool steps_with_helpers(const Call<HIDDENSTATE_PRECISION>& call, const Steps& steps, int threads) {
    const Helpers helpers(threads);
    if (!helpers) return false;
    each_layer(call, steps, [&](std::int64_t t, std::int64_t layer) {
        helpers.run([&](int thread) {
            const ThreadSetup setup;
            steps.compute(t, layer, thread, threads);
        });
        steps.keep(t, layer, 0, 1);
    });
    return true;
}

inline void steps(const Call<HIDDENSTATE_PRECISION>& call) {
    const std::int64_t rows = static_cast<std::int64_t>(call.layers.size()) * call.packed.batch;
    if (call.h0 != call.h_n) std::copy_n(call.h0, rows * call.H, call.h_n);
    if (kMemory && call.c0 != call.c_n) std::copy_n(call.c0, rows * call.H, call.c_n);
    if (call.T == 0) return;
    const Steps steps(call);
    const int threads = static_cast<int>(std::clamp<std::int64_t>(call.threads, 1, blocks(call.H, kUnits)));
    const bool done = threads > 1 && call.packed.close && steps_with_helpers(call, steps, threads);
    if (!done && !steps_together(call, steps, threads)) steps_together(call, steps, 1);
}

}  // namespace
}  // namespace hiddenstate
