// One layer and direction, forward.
//
// Some steps at a time (a chunk): first the input's part of the pre-activations of all of them, one product that reads
// W_ih once; then step after step the recurrent part, the gates and the states.
#pragma once

#include "kernel/cell.h"
#include "platform/allocator.h"
#include "kernel/pack.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// What one layer and direction of a call reads and writes: views of the call's arrays.
struct LayerForward {
    const element* x;  // row (t, n) at x + t * x_step + n * x_row, C numbers
    LayerDirection<HIDDENSTATE_PRECISION> self;
    const element* h0;            // [N, P], or null: zeros
    const real* c0;               // [N, H], or null: zeros
    const std::int64_t* lengths;  // the call's
    const std::uint8_t* reset;    // the call's
    element* out;  // row (t, n) at out + t * out_step + n * out_row, P numbers; zero past a row's end
    element* h_n;  // [N, P]
    real* c_n;     // [N, H]
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
};

// The input's part of a block's pre-activations, for the rows of a chunk: bias + W_ih x.
struct Project {
    const element* const* x;
    std::int64_t C;
    const packed* w;
    const real* bias;
    real* to;  // [rows, kTile]

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][kGates];
        for (int r = 0; r < tall.count; ++r) {
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(bias + g * kLanes);
        }
        tile(tall, x + first, C, w, acc);
        for (int r = 0; r < tall.count; ++r) {
            for (int g = 0; g < kGates; ++g) store(to + (first + r) * kTile + g * kLanes, acc[r][g]);
        }
    }
};

// One block of units of one step, for its live rows.
struct ForwardStep {
    const LayerForward& job;
    std::int64_t t, u, lanes;    // step; first unit of the block, and how many of its units there are
    const packed* w;             // the block's recurrent weights
    const real* from;            // [rows, kTile], as Project leaves it
    const std::int64_t* rows;    // live rows
    const unsigned char* edited;  // whether an edit touches them, or null
    const element* const* h;     // their hidden states of the step before
    element* to;                 // row n of what the cells give at to + n * to_row
    std::int64_t to_row;

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][kGates];
        for (int r = 0; r < tall.count; ++r) {
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(from + (first + r) * kTile + g * kLanes);
        }
        tile(tall, h + first, width(job.P), w, acc);
        for (int r = 0; r < tall.count; ++r) finish(first + r, acc[r]);
    }

    void finish(std::int64_t r, const vf (&z)[kGates]) const {
        const std::int64_t n = rows[r], H = job.H;
        real* c = job.c_n + n * H + u;
        if (!edited || !edited[r]) {
            const Gates gates(z);
            return keep(n, gates, gates, State::of(gates, load(c, lanes)));
        }
        const EditedRow edits{job.self.edits, t, n, u, lanes};
        const Gates before = edits.gates(z);
        Gates gates = before;
        edits.apply(gates);
        State state = edits.state(gates, load(c, lanes));
        if (!job.self.weights.hr) edits.apply(kH, state.h);
        keep(n, before, gates, state);
    }

    void keep(std::int64_t n, const Gates& before, const Gates& gates, const State& state) const {
        const std::int64_t H = job.H, row = t * job.N + n;
        store(job.c_n + n * H + u, state.c, lanes);
        store(to + n * to_row + u, state.h, lanes);
        if (job.self.c) store_past_cache(job.self.c + row * H + u, state.c, lanes);
        if (job.self.gates) gates.store_to(job.self.gates + row * kGates * H + u, H, lanes);
        if (job.self.raw_gates) before.store_to(job.self.raw_gates + row * kGates * H + u, H, lanes);
    }
};

// One block of the projection of one step, h = W_hr m, for its live rows.
template <int V>
struct ProjectHidden {
    const LayerForward& job;
    std::int64_t t, u, left;  // first number of the block, and how many of its numbers there are
    const packed* w;
    const std::int64_t* rows;
    const unsigned char* edited;
    const element* const* m;

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][V];
        clear(tall, acc);
        tile(tall, m + first, job.H, w, acc);
        for (int r = 0; r < tall.count; ++r) {
            for (int v = 0; v < V; ++v) give(first + r, u + v * kLanes, left - v * kLanes, acc[r][v]);
        }
    }

    void give(std::int64_t r, std::int64_t at, std::int64_t count, vf h) const {
        const std::int64_t n = rows[r], lanes = std::min<std::int64_t>(count, kLanes);
        if (edited && edited[r]) EditedRow{job.self.edits, t, n, at, lanes}.apply(kH, h);
        store(job.out + t * job.out_step + n * job.out_row + at, h, lanes);
    }
};

// What the threads of a forward scan share.
struct ForwardState {
    const LayerForward& job;
    const Buffer<packed> w;
    const Buffer<real> bias;
    const Buffer<packed> hr;
    const Buffer<element> m;  // [N, H]: with a projection, what the cells give

    explicit ForwardState(const LayerForward& job)
        : job(job), w(layer_size(job.C, job.H, job.P)), bias(bias_size(job.H)),
          hr(job.self.weights.hr ? matrix_size(job.H, job.P) : 0), m(job.self.weights.hr ? job.N * job.H : 0) {
        pack_layer(job.self.weights, job.C, job.H, job.P, job.threads, w.data(), bias.data());
        if (job.self.weights.hr) pack_turned(job.self.weights.hr, job.P, job.H, job.threads, hr.data());
    }

    const packed* block(std::int64_t b) const { return w.data() + b * kTile * (depth(job.C) + depth(job.P)); }
};

// What one thread does: some rows, and some units and numbers of the hidden state.
class ForwardShare {
public:
    ForwardShare(const ForwardState& state, Range rows, Range units, Range hidden, std::int64_t chunk_steps)
        : shared_(state), job_(state.job), order_{state.job}, rows_(rows), units_(units), hidden_(hidden),
          blocks_{units.first / kLanes, blocks(units.last, kLanes)}, chunk_steps_(chunk_steps),
          zeros_(static_cast<std::size_t>(job_.P)), state_(size(rows.size())), h_(state_.size()), m_(state_.size()),
          edited_(state_.size()) {
        const std::size_t most = size(chunk_steps * rows.size());
        x_.resize(most), n_.resize(most), first_.resize(size(chunk_steps) + 1);
    }

    // Calls wait() where the threads that share units wait for one another: between two steps, and before a projection.
    // What is made of the input goes through `scratch`.
    template <class Wait>
    void run(real* scratch, const Wait& wait) {
        begin();
        for (std::int64_t k = 0; k < job_.T; k += chunk_steps_) {
            const std::int64_t steps = std::min(chunk_steps_, job_.T - k);
            list(k, steps);
            even_x_.take(x_.data(), first_[size(steps)], job_.C);
            project(scratch, first_[size(steps)]);
            for (std::int64_t j = 0; j < steps; ++j) {
                step(order_.step(k + j), first_[size(j)], first_[size(j + 1)], scratch, first_[size(steps)], wait);
                if (k + j + 1 < job_.T) wait();
            }
        }
        end();
        finish_stores();
    }

private:
    static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

    void begin() {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            const std::int64_t at = n * job_.H + units_.first;
            state_[size(n - rows_.first)] = job_.h0 ? job_.h0 + n * job_.P : zeros_.data();
            if (job_.c0) {
                std::copy_n(job_.c0 + at, units_.size(), job_.c_n + at);
            } else {
                std::fill_n(job_.c_n + at, units_.size(), real{});
            }
        }
    }

    void end() {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            std::copy_n(state_[size(n - rows_.first)] + hidden_.first, hidden_.size(),
                        job_.h_n + n * job_.P + hidden_.first);
        }
    }

    // The live rows of a chunk's steps, one after another.
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

    // Past a row's end everything is zero.
    void end_row(std::int64_t t, std::int64_t n) const {
        const std::int64_t H = job_.H, row = t * job_.N + n;
        std::fill_n(job_.out + t * job_.out_step + n * job_.out_row + hidden_.first, hidden_.size(), element{});
        if (job_.self.c) std::fill_n(job_.self.c + row * H + units_.first, units_.size(), real{});
        for (int g = 0; job_.self.gates && g < kGates; ++g) {
            std::fill_n(job_.self.gates + (row * kGates + g) * H + units_.first, units_.size(), real{});
        }
    }

    void project(real* scratch, std::int64_t count) const {
        for (std::int64_t b = blocks_.first; b < blocks_.last; ++b) {
            for_tiles(count, Project{x_.data(), width(job_.C), shared_.block(b), shared_.bias.data() + b * kTile,
                                     scratch + (b - blocks_.first) * count * kTile});
        }
    }

    template <class Wait>
    void step(std::int64_t t, std::int64_t first, std::int64_t last, const real* scratch, std::int64_t count,
              const Wait& wait) {
        const std::int64_t* rows = n_.data() + first;
        const unsigned char* edited = enter(t, rows, last - first) ? edited_.data() : nullptr;
        even_h_.take(h_.data(), last - first, job_.P);
        const bool projects = job_.self.weights.hr;
        element* to = projects ? shared_.m.data() : job_.out + t * job_.out_step;
        // There and back again: the weights that were used last are still in the cache.
        for (std::int64_t k = 0; k < blocks_.size(); ++k) {
            const std::int64_t b = t % 2 ? blocks_.last - 1 - k : blocks_.first + k, u = b * kLanes;
            for_tiles(last - first,
                      ForwardStep{job_, t, u, std::min<std::int64_t>(kLanes, job_.H - u),
                                  shared_.block(b) + kTile * depth(job_.C),
                                  scratch + ((b - blocks_.first) * count + first) * kTile, rows, edited, h_.data(), to,
                                  projects ? job_.H : job_.out_row});
        }
        if (projects) {
            wait();
            project_hidden(t, rows, last - first, edited);
        }
        for (std::int64_t r = 0; r < last - first; ++r) {
            state_[size(rows[r] - rows_.first)] = job_.out + t * job_.out_step + rows[r] * job_.out_row;
        }
    }

    // Finds the states that come into a step, and which rows are edited in it; returns whether any is.
    bool enter(std::int64_t t, const std::int64_t* rows, std::int64_t count) {
        bool any_edited = false;
        for (std::int64_t r = 0; r < count; ++r) {
            const std::int64_t n = rows[r];
            if (order_.cut(t, n)) {
                state_[size(n - rows_.first)] = zeros_.data();
                std::fill_n(job_.c_n + n * job_.H + units_.first, units_.size(), real{});
            }
            h_[size(r)] = state_[size(n - rows_.first)];
            edited_[size(r)] = job_.self.edits && job_.self.edits->touches(t, n);
            any_edited |= edited_[size(r)];
        }
        return any_edited;
    }

    void project_hidden(std::int64_t t, const std::int64_t* rows, std::int64_t count, const unsigned char* edited) {
        for (std::int64_t r = 0; r < count; ++r) m_[size(r)] = shared_.m.data() + rows[r] * job_.H;
        for (std::int64_t u = hidden_.first; u < hidden_.last;) {
            const std::int64_t b = u / kTile, next = std::min((b + 1) * kTile, hidden_.last);
            const packed* w = shared_.hr.data() + b * kTile * depth(job_.H) + u % kTile;
            with_vectors(next - u, [&](auto V) {
                for_tiles(count, ProjectHidden<V>{job_, t, u, next - u, w, rows, edited, m_.data()});
            });
            u = next;
        }
    }

    const ForwardState& shared_;
    const LayerForward& job_;
    const Order<LayerForward> order_;
    const Range rows_, units_, hidden_, blocks_;
    const std::int64_t chunk_steps_;
    std::vector<element> zeros_;
    std::vector<const element*> state_;  // each row's latest hidden state
    std::vector<const element*> h_;      // of the live rows
    std::vector<const element*> m_;      // what their cells give
    std::vector<unsigned char> edited_;
    std::vector<const element*> x_;      // input of the chunk's live rows
    std::vector<std::int64_t> n_;        // and which rows they are
    std::vector<std::int64_t> first_;    // of each step of the chunk
    EvenRows even_x_, even_h_;
};

// Rows whose projections a thread holds at a time: enough to read W_ih once for many, few enough to stay in the cache.
inline std::int64_t chunk_rows(std::int64_t H) {
    constexpr std::int64_t kNumbers = 1 << 16;
    return std::clamp<std::int64_t>(kNumbers / (kGates * H), std::min(4 * kRows, 64), 96);
}

inline void forward_on(const ForwardState& state, int threads) {
    const LayerForward& job = state.job;
    const Partition partition(job, threads);
    std::vector<ForwardShare> parts;
    std::int64_t scratch = 0;
    std::vector<std::int64_t> at;
    for (int k = 0; k < partition.threads(); ++k) {
        const Range rows = partition.rows[k], units = partition.units[k];
        const std::int64_t each = std::max<std::int64_t>(rows.size(), 1);
        const std::int64_t steps = std::max<std::int64_t>(std::min(chunk_rows(job.H) / each, job.T), 1);
        parts.emplace_back(state, rows, units, partition.hidden[k], steps);
        at.push_back(scratch);
        scratch += steps * each * blocks(units.size(), kLanes) * kTile;
    }
    const Buffer<real> buffer(scratch);
    Barrier barrier;
    const bool done = run_parallel(partition.threads(), partition.together, [&](int k) {
        parts[k].run(buffer.data() + at[k], [&] { if (partition.together) barrier.wait(partition.threads()); });
    });
    if (!done) forward_on(state, 1);
}

// What a call keeps of each layer and direction, in bytes.
inline std::size_t bytes_of_records(std::int64_t T, std::int64_t N, std::int64_t H) {
    return static_cast<std::size_t>(T * N * (kGates + 1) * H) * sizeof(real);
}

inline void forward_layer(const LayerForward& job) {
    const std::size_t records = job.self.gates || job.self.raw_gates ? bytes_of_records(job.T, job.N, job.H) : 0;
    keep_freed_memory(records);
    expect_writes(job.self.gates, records / (kGates + 1) * kGates);
    expect_writes(job.self.raw_gates, records / (kGates + 1) * kGates);
    forward_on(ForwardState(job), std::max(job.threads, 1));
}

}  // namespace
}  // namespace hiddenstate
