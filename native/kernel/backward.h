// The backward scan: computes the gradients of the input, the weights and the initial states from those of the outputs and final states.
//
// It processes a few steps at a time (a chunk), from the last chunk to the first. If the forward pass did not save the gates, the chunk's
// gates are recomputed first (recomputed_gates.h). The scan itself then computes, step by step, the gradients of the pre-activations (dg)
// and, through them and W_hh, the gradient of the previous hidden state. Finally, while dg is still in the cache, it computes the products
// that read dg (chunk_products.h).
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "kernel/backward_state.h"
#include "kernel/cell.h"
#include "kernel/chunk_products.h"
#include "kernel/input_gradients.h"
#include "kernel/partition.h"
#include "kernel/recomputed_gates.h"

namespace hiddenstate {
namespace {

// One row at one step: computes the gradients of the pre-activations from those of m = o tanh(c) (d_m) and of c (dc, which becomes the
// gradient of the previous c).
struct GateGradients {
    const LayerBackward& job;
    std::int64_t t, n;
    const real* gates;     // [kRecord * H]: before edits
    element* dg;           // [kSlopes * H]: for the pre-activations; may share memory with the gates
    const real* d_m;       // [H]: for m, which equals h without a projection
    element* m;            // [H]: receives m, or null
    const real* c_before;  // [H]; null means zeros
    const element* h_before;  // [H]; used only if there is no cell state
    bool edited;

    // Computes one vector of units.
    void run(std::int64_t u) const {
        const std::int64_t H = job.H, row = t * job.N + n, lanes = std::min<std::int64_t>(kLanes, H - u);
        // The gradient of the memory: that of c or, without a cell state, the part of h's gradient that does not go through W_hh; the
        // product with W_hh is added to it.
        real* to = kMemory ? job.dc0 + n * H + u : job.dh0 + n * H + u;
        // The slope of a gate depends on its value before edits; the products of the step use the value after them.
        const Gates before(gates + u, H, lanes, job.relu);
        Gates after = before;
        const EditedRow edits{job.self.edits, t, n, u, lanes};
        if (edited) EditedGates::apply(edits, after);
        const auto undo = [&](Place place, vf& gradient) { if (edited) edits.undo(place, gradient); };
        const Gates more(job.gradients.gates ? job.gradients.gates + row * kRecord * H + u : gates + u, H, lanes);
        const Gates* const added = job.gradients.gates ? &more : nullptr;
        const vf s = kMemory ? tanh(load(job.self.c + row * H + u, lanes)) : vf{};
        if (m) store(m + u, after.output(s), lanes);
        vf d_memory = kMemory ? load(to, lanes) : vf{}, d_z[kSlopes];
        if (kMemory && job.gradients.c) d_memory += load(job.gradients.c + row * H + u, lanes);
        const vf memory = !kMemory ? load(h_before + u, lanes) : c_before ? load(c_before + u, lanes) : vf{};
        before.derivative(after, load(d_m + u, lanes), s, memory, d_memory, added, undo, d_z);
        if (kMemory || kDirect) store(to, d_memory, lanes);
        for (int slope = 0; slope < kSlopes; ++slope) store(dg + slope * H + u, d_z[slope], lanes);
    }
};

// One thread's share of the work: some rows, units and elements of the hidden state in the scan, and a part of each product after it.
class BackwardWorker {
public:
    BackwardWorker(const BackwardState& state, Range rows, Range units, Range hidden, int thread, int threads)
        : state_(state), job_(state.job), order_{state.job}, rows_(rows), units_(units), hidden_(hidden),
          chunk_(state.job, state.chunk_steps), inputs_(state.job, chunk_), gates_(state, chunk_, thread, threads),
          products_(state, chunk_, thread, threads) {}

    // Calls wait_units() at points where threads that share the units must synchronise, and wait_all() where all threads must.
    void run(Wait wait_units, Wait wait_all) {
        begin();
        std::int64_t first = job_.T;
        do {  // runs at least once, so that sums over zero steps become zero
            const std::int64_t last = first;
            first = std::max<std::int64_t>(last - state_.chunk_steps, 0);
            chunk_.list(first, last - first, [&](std::int64_t t, std::int64_t n) { end_row(t, n); });
            if (!job_.gates) {
                gates_.run();
                wait_all();  // the gates of the chunk are complete
            }
            for (std::int64_t j = last - first - 1; j >= 0; --j) scan(order_.step(first + j), j, wait_units);
            wait_all();  // dg and m of the chunk are complete
            products_.gather();
            wait_all();  // the other factors of the products are packed
            products_.input_gradients();
            products_.weight_gradients(last == job_.T);
            wait_all();  // no thread reads the chunk any longer
        } while (first > 0);
        products_.store_sums();
    }

private:
    // dh0 and dc0 carry the gradients of the states from step to step.
    void begin() const {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            copy_or_zero(job_.dh_n, job_.dh0, n * job_.P + hidden_.first, hidden_.size());
            if (kMemory) copy_or_zero(job_.dc_n, job_.dc0, n * job_.H + units_.first, units_.size());
        }
    }

    static void copy_or_zero(const real* from, real* to, std::int64_t first, std::int64_t count) {
        if (from) std::copy_n(from + first, count, to + first);
        else std::fill_n(to + first, count, real{});
    }

    // Zeroes dx past a row's end; among threads that share the units, the first one does so.
    void end_row(std::int64_t t, std::int64_t n) const {
        if (!job_.dx || n < rows_.first || n >= rows_.last || units_.first > 0) return;
        std::fill_n(job_.dx + (t * job_.N + n) * job_.C, job_.C, element{});
    }

    // The j-th step of the chunk, step t of the sequence.
    void scan(std::int64_t t, std::int64_t j, Wait wait) const {
        const Range mine = chunk_.of_step(j, rows_);
        const std::int64_t* rows = chunk_.all_n() + mine.first;
        const bool reverse = t % 2;
        for (std::int64_t i = mine.first; i < mine.last; ++i) add_output_gradient(t, chunk_.n(i), i);
        if (job_.projects()) {
            wait();  // the projection mixes all elements of dh
            const InputGradient<real> dm{state_.dh_rows.data() + mine.first, job_.P, state_.w_hr.data(), rows,
                                         state_.dm.data(), job_.H};
            dm.run(mine.size(), units_, reverse);
        }
        for (std::int64_t i = mine.first; i < mine.last; ++i) gates(t, chunk_.n(i), i);
        wait();  // W_hh mixes all units of dg
        Ahead records = records_of_next(t);
        const InputGradient<real> dh{state_.recurrent_rows.data() + mine.first, kGates * job_.H, state_.w_hh.data(), rows,
                                     job_.dh0, job_.P, kDirect, &records};
        dh.run(mine.size(), hidden_, reverse);
        for (std::int64_t i = mine.first; i < mine.last; ++i) {
            if (order_.cut(t, chunk_.n(i))) cross(order_.border(t), chunk_.n(i));
        }
    }

    // The forward records of the step that is scanned after step t. They were written past the cache, so they come from memory.
    Ahead records_of_next(std::int64_t t) const {
        const std::int64_t next = order_.before(t);
        if (!job_.gates || next < 0 || next >= job_.T) return {};
        const std::int64_t row = kRecord * job_.H, bytes = row * static_cast<std::int64_t>(sizeof(real));
        return {job_.gates + (next * job_.N + rows_.first) * row, rows_.size() * bytes};
    }

    // Adds the gradient of a step's output to the gradient of its hidden state, which so far comes from later steps.
    void add_output_gradient(std::int64_t t, std::int64_t n, std::int64_t i) const {
        const bool edited = job_.is_edited(t, n);
        const element* dout = job_.dout + t * job_.out_step + n * job_.out_row;
        for (std::int64_t u = hidden_.first; u < hidden_.last; u += kLanes) {
            const std::int64_t lanes = std::min<std::int64_t>(kLanes, hidden_.last - u);
            vf d_h = load(job_.dh0 + n * job_.P + u, lanes) + load(dout + u, lanes);
            if (edited) EditedRow{job_.self.edits, t, n, u, lanes}.undo(kOutput, d_h);
            if (job_.projects()) {
                store(state_.dh.data() + i * state_.dh_step + u, d_h, lanes);
            } else {
                store(state_.dm.data() + n * job_.H + u, d_h, lanes);
            }
        }
    }

    void gates(std::int64_t t, std::int64_t n, std::int64_t i) const {
        const std::int64_t H = job_.H;
        const real* kept = job_.gates ? job_.gates + (t * job_.N + n) * kRecord * H : state_.gates(i);
        const GateGradients row{job_, t, n, kept, state_.dg.data() + i * state_.dg_step, state_.dm.data() + n * H,
                                job_.projects() ? state_.m.data() + i * H : nullptr, kMemory ? c_before(t, n) : nullptr,
                                kMemory ? nullptr : inputs_.h_before(i), job_.is_edited(t, n)};
        for (std::int64_t u = units_.first; u < units_.last; u += kLanes) row.run(u);
    }

    // The cell state before a step; null for zero.
    const real* c_before(std::int64_t t, std::int64_t n) const {
        if (order_.cut(t, n)) return job_.reset_c.first ? at_border(job_.reset_c, order_.border(t), n) : nullptr;
        return order_.is_first(t, n) ? job_.c0 + n * job_.H : job_.self.c + (order_.before(t) * job_.N + n) * job_.H;
    }

    // No gradient crosses a border: the step started from the border's state, which does not depend on the previous step.
    void cross(std::int64_t border, std::int64_t n) const {
        move(job_.dh0 + n * job_.P, job_.dreset_h, border, n, hidden_);
        if (kMemory) move(job_.dc0 + n * job_.H, job_.dreset_c, border, n, units_);
    }

    // Adds some elements to a border's gradient, if it is needed, and zeroes them.
    static void move(real* from, const BorderStates<real>& to, std::int64_t border, std::int64_t n, Range some) {
        real* sums = to.first ? at_border(to, border, n) : nullptr;
        for (std::int64_t u = some.first; sums && u < some.last; ++u) sums[u] += from[u];
        std::fill_n(from + some.first, some.size(), real{});
    }

    const BackwardState& state_;
    const LayerBackward& job_;
    const Order<LayerBackward> order_;
    const Range rows_, units_, hidden_;
    ChunkRows chunk_;
    const ChunkInputs inputs_;
    RecomputedGates gates_;
    const ChunkProducts products_;
};

// The threads of one backward scan. A thread with no work in the scan itself still computes a part of the products.
class BackwardGroup {
public:
    BackwardGroup(const BackwardState& state, int threads)
        : partition_(state.job, threads, backward_by_units(plan_sizes(state.job.N, state.job.C, state.job.H, threads))) {
        const Range no_rows{state.job.N, state.job.N}, nothing{0, 0};
        for (int k = 0; k < threads; ++k) {
            const bool scans = k < partition_.threads();
            const std::size_t mine = static_cast<std::size_t>(k);
            workers_.push_back(std::make_unique<BackwardWorker>(
                state, scans ? partition_.rows[mine] : no_rows, scans ? partition_.units[mine] : nothing,
                scans ? partition_.hidden[mine] : nothing, k, threads));
        }
    }

    int threads() const { return static_cast<int>(workers_.size()); }
    bool together() const { return threads() > 1; }

    void run(int k) {
        const Wait wait_all{together() ? &barrier_ : nullptr, threads()};
        workers_[static_cast<std::size_t>(k)]->run(partition_.together ? wait_all : Wait{}, wait_all);
    }

private:
    const Partition partition_;
    std::vector<std::unique_ptr<BackwardWorker>> workers_;
    Barrier barrier_;
};

// Runs independent layers and directions, each on the thread count of the first.
inline void backward_layers(const std::vector<LayerBackward>& jobs) {
    std::deque<BackwardState> states;  // a deque, because states can't be moved
    std::vector<const BackwardState*> each;
    for (const LayerBackward& job : jobs) each.push_back(&states.emplace_back(job));
    run_groups<BackwardGroup>(each, std::max(jobs.front().threads, 1));
}

}  // namespace
}  // namespace hiddenstate
