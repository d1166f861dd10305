// Runs one layer and direction forward.
//
// The scan processes a few steps at a time (a chunk). It first computes the input's part of all their pre-activations, in one product that
// reads W_ih once; then, step by step, the recurrent part, the gates and the states.
#pragma once

#include <vector>

#include "kernel/forward_tiles.h"
#include "kernel/pack.h"
#include "kernel/partition.h"
#include "platform/allocator.h"

namespace hiddenstate {
namespace {

// The state that the threads of a forward scan share: packed weights, and the values to project.
struct ForwardState {
    const LayerForward& job;
    const Buffer<packed> own_w;  // empty if the caller packed the weights
    const Buffer<real> own_bias;
    const packed* const w;
    const real* const bias;
    const Buffer<packed> hr;
    const Buffer<element> m;  // [N, H]: with a projection, m = o tanh(c) of the current step

    explicit ForwardState(const LayerForward& job)
        : job(job), own_w(is_packed() ? 0 : layer_size(job.C, job.H, job.P)), own_bias(is_packed() ? 0 : bias_size(job.H)),
          w(is_packed() ? static_cast<const packed*>(job.self.weights.packed) : own_w.data()),
          bias(is_packed() ? job.self.weights.packed_bias : own_bias.data()),
          hr(job.projects() ? matrix_size(job.H, job.P) : 0), m(job.projects() ? job.N * job.H : 0) {}

    // Packs the weights if the caller has not; called before anything is read.
    void pack() const {
        if (!is_packed()) pack_layer(job.self.weights, job.C, job.H, job.P, job.threads, own_w.data(), own_bias.data());
        if (job.projects()) pack_transposed(job.self.weights.hr, job.P, job.H, job.threads, hr.data());
    }

    bool is_packed() const { return job.self.weights.packed != nullptr; }
    const packed* block(std::int64_t b) const { return w + b * kTile * (depth(job.C) + depth(job.P)); }
};

// One thread's share of the work: some rows, units and elements of the hidden state.
class ForwardWorker {
public:
    ForwardWorker(const ForwardState& state, Range rows, Range units, Range hidden, std::int64_t chunk_steps,
                  bool joins)
        : shared_(state), job_(state.job), order_{state.job}, rows_(rows), units_(units), hidden_(hidden),
          blocks_{units.first / kUnits, blocks(units.last, kUnits)}, chunk_steps_(chunk_steps), all_join_(joins),
          zeros_(static_cast<std::size_t>(job_.P)), state_(size(rows.size())), h_(state_.size()), before_(kMemory ? 0 : state_.size()),
          m_(state_.size()),
          edited_(state_.size()) {
        const std::size_t most = size(chunk_steps * rows.size());
        x_.resize(most), n_.resize(most), first_.resize(size(chunk_steps) + 1);
    }

    // Calls wait() at points where threads that share the units must synchronise: between two steps, and before a projection. `scratch`
    // holds the input's part of a chunk's pre-activations.
    void run(real* scratch, Wait wait) {
        begin();
        for (std::int64_t k = 0; k < job_.T; k += chunk_steps_) run_chunk(k, scratch, wait);
        end();
    }

    // Runs the chunk that begins with the k-th step in reading order.
    void run_chunk(std::int64_t k, real* scratch, Wait wait) {
        const std::int64_t steps = std::min(chunk_steps_, job_.T - k);
        list(k, steps);
        multiply_inputs(scratch, steps);
        for (std::int64_t j = 0; j < steps; ++j) {
            step(order_.step(k + j), first_[size(j)], first_[size(j + 1)], scratch, first_[size(steps)], wait);
            if (k + j + 1 < job_.T) wait();  // the next step reads the hidden state of all units
        }
    }

    // Sets the initial states. h is read in place; c is copied, because the scan updates it in place.
    void begin() {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            const std::int64_t at = n * job_.H + units_.first;
            state_[size(n - rows_.first)] = job_.h0 ? job_.h0 + n * job_.P : zeros_.data();
            if (!kMemory) continue;
            if (job_.c0) {
                std::copy_n(job_.c0 + at, units_.size(), job_.c_n + at);
            } else {
                std::fill_n(job_.c_n + at, units_.size(), real{});
            }
        }
    }

    // Stores the final hidden states. Each thread copies only the part that it wrote, so it need not wait for the others.
    void end() {
        finish_stores();
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            std::copy_n(state_[size(n - rows_.first)] + hidden_.first, hidden_.size(),
                        job_.h_n + n * job_.P + hidden_.first);
        }
    }

private:
    static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

    // Lists the live rows of a chunk's steps, one step after another.
    void list(std::int64_t k, std::int64_t steps) {
        std::int64_t count = 0;
        for (std::int64_t j = 0; j < steps; ++j) {
            const std::int64_t t = order_.step(k + j);
            first_[size(j)] = count;
            for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
                if (order_.live(t, n)) {
                    n_[size(count)] = n;
                    x_[size(count++)] = job_.x + t * job_.x_step + n * job_.x_row;
                } else {
                    end_row(t, n);
                }
            }
        }
        first_[size(steps)] = count;
    }

    // Writes zeros past a row's end.
    void end_row(std::int64_t t, std::int64_t n) const {
        const std::int64_t H = job_.H, row = t * job_.N + n;
        std::fill_n(job_.out + t * job_.out_step + n * job_.out_row + hidden_.first, hidden_.size(), element{});
        if (job_.self.c) std::fill_n(job_.self.c + row * H + units_.first, units_.size(), real{});
        for (int g = 0; job_.self.gates && g < kRecord; ++g) {
            std::fill_n(job_.self.gates + (row * kRecord + g) * H + units_.first, units_.size(), real{});
        }
    }

    // The input tile of block b, for the rows from `first` on, in a chunk of `count` rows.
    InputTile input_tile(std::int64_t b, std::int64_t first, std::int64_t count, real* scratch) const {
        return {x_.data() + first, width(job_.C), shared_.block(b), shared_.bias + b * kBiases,
                scratch + ((b - blocks_.first) * count + first) * kTile};
    }

    // Multiplies the inputs of a chunk, unless the steps do so themselves.
    void multiply_inputs(real* scratch, std::int64_t steps) {
        const std::int64_t count = first_[size(steps)];
        const bool matrices = in_matrices(count, job_.C);
        even_x_.take(x_.data(), count, job_.C, matrices);
        joins_ = all_join_ || joins(steps);
        for (std::int64_t b = blocks_.first; !joins_ && b < blocks_.last; ++b) {
            for_tiles(count, matrices, input_tile(b, 0, count, scratch));
        }
    }

    // Whether the steps of a chunk use the joined product although the plan does not call for it. With int8 weights in matrix registers
    // this is faster, provided that steps have enough rows and all weights stay in a cache, from which each step reads them.
    bool joins(std::int64_t steps) const {
        constexpr std::int64_t kFewestRows = 16, kMostWeights = 1 << 17;
        if (!kQuads || !kMatrices || units_.size() * (job_.C + job_.P) > kMostWeights) return false;
        for (std::int64_t j = 0; j < steps; ++j) {
            const std::int64_t rows = first_[size(j + 1)] - first_[size(j)];
            if (rows && (rows < kFewestRows || !in_matrices(rows, job_.C) || !in_matrices(rows, job_.P))) return false;
        }
        return true;
    }

    void step(std::int64_t t, std::int64_t first, std::int64_t last, real* scratch, std::int64_t count,
              Wait wait) {
        const std::int64_t* rows = n_.data() + first;
        const unsigned char* edited = enter(t, rows, last - first) ? edited_.data() : nullptr;
        const bool matrices = in_matrices(last - first, job_.P);
        even_h_.take(h_.data(), last - first, job_.P, matrices);
        const bool projects = job_.projects();
        element* to = projects ? shared_.m.data() : job_.out + t * job_.out_step;
        // Every other step visits the blocks in reverse, because the weights read last are still in the cache.
        const auto tile_of_block = [&](std::int64_t k) {
            const std::int64_t b = t % 2 ? blocks_.last - 1 - k : blocks_.first + k, u = b * kUnits;
            return StepTile{job_, t, u, std::min<std::int64_t>(kUnits, job_.H - u), input_tile(b, first, count, scratch), joins_,
                            shared_.block(b) + kTile * depth(job_.C), rows, edited, h_.data(), before_.data(), to,
                            projects ? job_.H : job_.out_row};
        };
        std::int64_t k = 0;
        if (last - first == 1 && !matrices && !joins_) {
            for (; k + 1 < blocks_.size(); k += 2) StepTile::run_two(tile_of_block(k), tile_of_block(k + 1));
        }
        for (; k < blocks_.size(); ++k) for_tiles(last - first, matrices, tile_of_block(k));
        if (projects) {
            wait();  // the projection mixes m across all units
            project(t, rows, last - first, edited);
        }
        for (std::int64_t r = 0; r < last - first; ++r) {
            state_[size(rows[r] - rows_.first)] = job_.out + t * job_.out_step + rows[r] * job_.out_row;
        }
    }

    // Finds the states before a step, and the rows that are edited in it; returns whether any row is edited.
    bool enter(std::int64_t t, const std::int64_t* rows, std::int64_t count) {
        bool any_edited = false;
        for (std::int64_t r = 0; r < count; ++r) {
            const std::int64_t n = rows[r];
            if (order_.cut(t, n)) begin_anew(order_.border(t), n);
            h_[size(r)] = state_[size(n - rows_.first)];
            if (!kMemory) before_[size(r)] = h_[size(r)];
            edited_[size(r)] = job_.is_edited(t, n);
            any_edited |= edited_[size(r)];
        }
        return any_edited;
    }

    // Restarts row n from the state of the border that is marked at step t.
    void begin_anew(std::int64_t t, std::int64_t n) {
        state_[size(n - rows_.first)] = job_.reset_h.first ? at_border(job_.reset_h, t, n) : zeros_.data();
        if (!kMemory) return;
        real* c = job_.c_n + n * job_.H + units_.first;
        if (job_.reset_c.first) {
            std::copy_n(at_border(job_.reset_c, t, n) + units_.first, units_.size(), c);
        } else {
            std::fill_n(c, units_.size(), real{});
        }
    }

    void project(std::int64_t t, const std::int64_t* rows, std::int64_t count, const unsigned char* edited) {
        for (std::int64_t r = 0; r < count; ++r) m_[size(r)] = shared_.m.data() + rows[r] * job_.H;
        for (std::int64_t u = hidden_.first; u < hidden_.last;) {
            // A thread's part may begin or end inside a block, because the hidden state is divided by vectors, not by blocks.
            const std::int64_t b = u / kTile, next = std::min((b + 1) * kTile, hidden_.last);
            const packed* w = shared_.hr.data() + b * kTile * depth(job_.H) + u % kTile;
            for_tiles(count, ProjectionTile{job_, t, u, next - u, w, rows, edited, m_.data()});
            u = next;
        }
    }

    const ForwardState& shared_;
    const LayerForward& job_;
    const Order<LayerForward> order_;
    const Range rows_, units_, hidden_, blocks_;
    const std::int64_t chunk_steps_;
    const bool all_join_;  // whether the plan calls for joined products
    std::vector<element> zeros_;
    std::vector<const element*> state_;  // each row's latest hidden state
    std::vector<const element*> h_;      // for the live rows
    std::vector<const element*> before_;  // the originals of `h_`, which may be copies; empty if the cell has a cell state
    std::vector<const element*> m_;      // m of the live rows, with a projection
    std::vector<unsigned char> edited_;
    std::vector<const element*> x_;      // inputs of the chunk's live rows
    std::vector<std::int64_t> n_;        // the indices of these rows
    std::vector<std::int64_t> first_;    // where the live rows of each step of the chunk begin
    EvenRows even_x_, even_h_;
    bool joins_ = false;  // whether the chunk's steps multiply their own inputs
};

inline void forward_on(const ForwardState& state, int threads) {
    const LayerForward& job = state.job;
    const Plan by = plan(job.N, job.C, job.H, threads, job.other_plan);
    const Partition partition(job, threads, by.units);
    std::vector<ForwardWorker> workers;
    std::int64_t scratch = 0;
    std::vector<std::int64_t> at;  // the offset of each thread's scratch
    for (int k = 0; k < partition.threads(); ++k) {
        const Range rows = partition.rows[k], units = partition.units[k];
        const std::int64_t each = std::max<std::int64_t>(rows.size(), 1);
        const std::int64_t steps = std::max<std::int64_t>(std::min(chunk_rows(job.H) / each, job.T), 1);
        workers.emplace_back(state, rows, units, partition.hidden[k], steps, by.joins);
        at.push_back(scratch);
        scratch += steps * each * blocks(units.size(), kUnits) * kTile;
    }
    const Buffer<real> buffer(scratch);
    Barrier barrier;
    const bool done = run_parallel(partition.threads(), partition.together, [&](int k) {
        workers[k].run(buffer.data() + at[k], {partition.together ? &barrier : nullptr, partition.threads()});
    });
    if (!done) forward_on(state, 1);  // there are too few threads for a barrier
}

// The size in bytes of the record of one layer and direction.
inline std::size_t bytes_of_records(std::int64_t T, std::int64_t N, std::int64_t H) {
    return static_cast<std::size_t>(T * N * (kRecord + kMemory) * H) * sizeof(real);
}

inline void forward_layer(const LayerForward& job) {
    const std::size_t records = job.self.gates || job.self.raw_gates ? bytes_of_records(job.T, job.N, job.H) : 0;
    keep_freed_memory(records);
    expect_writes(job.self.gates, records / (kRecord + kMemory) * kRecord);
    expect_writes(job.self.raw_gates, records / (kRecord + kMemory) * kRecord);
    const ForwardState state(job);
    state.pack();
    forward_on(state, std::max(job.threads, 1));
}

}  // namespace
}  // namespace hiddenstate
