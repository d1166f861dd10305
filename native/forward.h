// The forward scan.
//
// Some steps at a time (a chunk): first the input's part of the pre-activations of all of them, one product that reads
// W_ih once; then step after step the recurrent part, the gates and the states.
#pragma once

#include "cell.h"
#include "pack.h"
#include "rows.h"
#include "scan.h"
#include "tile.h"

namespace hiddenstate {
namespace {

using ForwardJob = Forward<HIDDENSTATE_PRECISION>;

// The input's part of a block's pre-activations, for the rows of a chunk: bias + W_ih x.
struct Project {
    const element* const* x;
    std::int64_t C;
    const packed* w;
    const real* bias;
    real* to;  // [rows, kTile]

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][kGates];
        for (int r = 0; r < R; ++r) {
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(bias + g * kLanes);
        }
        tile<R, kGates>(x + first, C, w, acc);
        for (int r = 0; r < R; ++r) {
            for (int g = 0; g < kGates; ++g) store(to + (first + r) * kTile + g * kLanes, acc[r][g]);
        }
    }
};

// One block of units of one step, for its live rows.
struct ForwardStep {
    const ForwardJob& job;
    std::int64_t t, u, lanes;    // step; first unit of the block, and how many of its units there are
    const packed* w;             // the block's recurrent weights
    const real* from;            // [rows, kTile], as Project leaves it
    const std::int64_t* rows;    // live rows
    const unsigned char* edited;  // whether an edit touches them, or null
    const element* const* h;     // their hidden states of the step before

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][kGates];
        for (int r = 0; r < R; ++r) {
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(from + (first + r) * kTile + g * kLanes);
        }
        tile<R, kGates>(h + first, job.H, w, acc);
        for (int r = 0; r < R; ++r) finish(first + r, acc[r]);
    }

    void finish(std::int64_t r, const vf (&z)[kGates]) const {
        const std::int64_t n = rows[r], H = job.H;
        real* c = job.c_n + n * H + u;
        if (!edited || !edited[r]) {
            const Gates gates(z);
            return keep(n, gates, gates, State::of(gates, load(c, lanes)));
        }
        const EditedRow edits{job.edits, t, n, u, lanes};
        const Gates before = edits.gates(z);
        Gates gates = before;
        edits.apply(gates);
        keep(n, before, gates, edits.state(gates, load(c, lanes)));
    }

    void keep(std::int64_t n, const Gates& before, const Gates& gates, const State& state) const {
        const std::int64_t H = job.H, row = t * job.N + n;
        store(job.c_n + n * H + u, state.c, lanes);
        store(job.out + t * job.out_step + n * job.out_row + u, state.h, lanes);
        if (job.c) store_past_cache(job.c + row * H + u, state.c, lanes);
        if (job.gates) gates.store_to(job.gates + row * kGates * H + u, H, lanes);
        if (job.unedited) before.store_to(job.unedited + row * kGates * H + u, H, lanes);
    }
};

struct PackedLayer {
    const Buffer<packed> w;
    const Buffer<real> bias;

    explicit PackedLayer(const ForwardJob& job) : w(layer_size(job.C, job.H)), bias(bias_size(job.H)) {
        pack_layer(job.weights, job.C, job.H, job.threads, w.data(), bias.data());
    }
};

// What one thread does: some rows, and some blocks of units.
class ForwardShare {
public:
    ForwardShare(const ForwardJob& job, const PackedLayer& weights, Range rows, Range blocks, std::int64_t chunk_steps)
        : job_(job), weights_(weights), order_{job}, rows_(rows), blocks_(blocks), chunk_steps_(chunk_steps),
          zeros_(static_cast<std::size_t>(job.H)), state_(size(rows.size())), h_(state_.size()), edited_(state_.size()) {
        const std::size_t most = size(chunk_steps * rows.size());
        x_.resize(most), n_.resize(most), first_.resize(size(chunk_steps) + 1);
    }

    // Calls wait() between two steps. The projections go through `scratch`, `scratch_size` reals.
    template <class Wait>
    void run(real* scratch, const Wait& wait) {
        begin();
        for (std::int64_t k = 0; k < job_.T; k += chunk_steps_) {
            const std::int64_t steps = std::min(chunk_steps_, job_.T - k);
            list(k, steps);
            project(scratch, first_[size(steps)]);
            for (std::int64_t j = 0; j < steps; ++j) {
                step(order_.step(k + j), first_[size(j)], first_[size(j + 1)], scratch, first_[size(steps)]);
                if (k + j + 1 < job_.T) wait();
            }
        }
        end();
        finish_stores();
    }

private:
    static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

    std::int64_t first_unit() const { return blocks_.first * kLanes; }
    std::int64_t units() const { return std::min(blocks_.last * kLanes, job_.H) - first_unit(); }
    std::int64_t unit(std::int64_t block) const { return block * kLanes; }
    const packed* block(std::int64_t b) const {
        return weights_.w.data() + b * kTile * (depth(job_.C) + depth(job_.H));
    }

    void begin() {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            const std::int64_t at = n * job_.H + first_unit();
            state_[size(n - rows_.first)] = job_.h0 ? job_.h0 + n * job_.H : zeros_.data();
            if (job_.c0) {
                std::copy_n(job_.c0 + at, units(), job_.c_n + at);
            } else {
                std::fill_n(job_.c_n + at, units(), real{});
            }
        }
    }

    void end() {
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            std::copy_n(state_[size(n - rows_.first)] + first_unit(), units(), job_.h_n + n * job_.H + first_unit());
        }
    }

    // The live rows of a chunk's steps, one after another; of those that have ended the output is zero.
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
                    std::fill_n(job_.out + t * job_.out_step + n * job_.out_row + first_unit(), units(), element{});
                }
            }
        }
        first_[size(steps)] = count;
    }

    void project(real* scratch, std::int64_t count) const {
        for (std::int64_t b = blocks_.first; b < blocks_.last; ++b) {
            for_tiles(count, Project{x_.data(), job_.C, block(b), weights_.bias.data() + b * kTile,
                                     scratch + (b - blocks_.first) * count * kTile});
        }
    }

    void step(std::int64_t t, std::int64_t first, std::int64_t last, const real* scratch, std::int64_t count) {
        const std::int64_t* rows = n_.data() + first;
        bool any_edited = false;
        for (std::int64_t r = 0; r < last - first; ++r) {
            const std::int64_t n = rows[r];
            if (order_.cut(t, n)) {
                state_[size(n - rows_.first)] = zeros_.data();
                std::fill_n(job_.c_n + n * job_.H + first_unit(), units(), real{});
            }
            h_[size(r)] = state_[size(n - rows_.first)];
            edited_[size(r)] = job_.edits && job_.edits->touches(t, n);
            any_edited |= edited_[size(r)];
        }
        // There and back again: the weights that were used last are still in the cache.
        for (std::int64_t k = 0; k < blocks_.size(); ++k) {
            const std::int64_t b = t % 2 ? blocks_.last - 1 - k : blocks_.first + k, u = unit(b);
            for_tiles(last - first,
                      ForwardStep{job_, t, u, std::min<std::int64_t>(kLanes, job_.H - u), block(b) + kTile * depth(job_.C),
                                  scratch + ((b - blocks_.first) * count + first) * kTile, rows,
                                  any_edited ? edited_.data() : nullptr, h_.data()});
        }
        for (std::int64_t r = 0; r < last - first; ++r) {
            state_[size(rows[r] - rows_.first)] = job_.out + t * job_.out_step + rows[r] * job_.out_row;
        }
    }

    const ForwardJob& job_;
    const PackedLayer& weights_;
    const Order<ForwardJob> order_;
    const Range rows_, blocks_;
    const std::int64_t chunk_steps_;
    std::vector<element> zeros_;
    std::vector<const element*> state_;  // each row's latest hidden state
    std::vector<const element*> h_;      // of the live rows
    std::vector<unsigned char> edited_;
    std::vector<const element*> x_;      // input of the chunk's live rows
    std::vector<std::int64_t> n_;        // and which rows they are
    std::vector<std::int64_t> first_;    // of each step of the chunk
};

// Rows whose projections a thread holds at a time: enough to read W_ih once for many, few enough to stay in the cache.
inline std::int64_t chunk_rows(std::int64_t H) {
    constexpr std::int64_t kNumbers = 1 << 16;
    return std::clamp<std::int64_t>(kNumbers / (kGates * H), 4 * kRows, 96);
}

inline void forward_on(const ForwardJob& job, const PackedLayer& weights, int threads) {
    const Shares shares(job, threads, blocks(job.H, kLanes));
    std::vector<ForwardShare> parts;
    std::int64_t scratch = 0;
    std::vector<std::int64_t> at;
    for (int k = 0; k < shares.threads(); ++k) {
        const Range rows = shares.rows[k], mine = shares.blocks[k];
        const std::int64_t each = std::max<std::int64_t>(rows.size(), 1);
        const std::int64_t steps = std::max<std::int64_t>(std::min(chunk_rows(job.H) / each, job.T), 1);
        parts.emplace_back(job, weights, rows, mine, steps);
        at.push_back(scratch);
        scratch += steps * each * mine.size() * kTile;
    }
    const Buffer<real> buffer(scratch);
    Barrier barrier;
    const bool done = run_team(shares.threads(), shares.together, [&](int k) {
        parts[k].run(buffer.data() + at[k], [&] { if (shares.together) barrier.wait(shares.threads()); });
    });
    if (!done) forward_on(job, weights, 1);
}

inline void forward(const ForwardJob& job) {
    keep_freed_memory();
    forward_on(job, PackedLayer(job), std::max(job.threads, 1));
}

}  // namespace
}  // namespace hiddenstate
