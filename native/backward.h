// The backward scan: from the gradients of outputs and final states to those of input, weights and initial state.
//
// Some steps at a time (a chunk), from the last to the first. First the scan itself, step after step: the gradients of
// the pre-activations (dg), and through them and W_hh that of the hidden state before. Then, while dg is still in the
// cache, what is made of it: dx = dg W_ih, and the sums over all steps dW_ih += dg^T x, dW_hh += dg^T h, db += dg.
#pragma once

#include <memory>
#include <vector>

#include "cell.h"
#include "pack.h"
#include "rows.h"
#include "scan.h"
#include "tile.h"

namespace hiddenstate {
namespace {

using BackwardJob = Backward<HIDDENSTATE_PRECISION>;

// One vector of units of one row at one step: from the gradients of h (dh, of the steps after) and of c (dc, in and
// out) to those of the pre-activations.
struct GateGradients {
    const BackwardJob& job;
    std::int64_t t, n;
    element* dg;           // [4H]: of the pre-activations
    const real* c_before;  // [H], or null: zero
    bool edited;

    void run(std::int64_t u) const {
        const std::int64_t H = job.H, row = t * job.N + n, lanes = std::min<std::int64_t>(kLanes, H - u);
        const real *dh = job.dh0 + n * H + u;
        real* dc = job.dc0 + n * H + u;
        const Gates before(job.gates + row * kGates * H + u, H, lanes);
        Gates gates = before;
        const EditedRow edits{job.edits, t, n, u, lanes};
        if (edited) edits.apply(gates);
        const vf one = splat(1), s = tanh(load(job.c + row * H + u, lanes));
        vf d_h = load(dh, lanes) + load(job.dout + row * H + u, lanes);
        if (edited) edits.undo(kH, d_h);
        vf d_c = load(dc, lanes) + d_h * gates.o * (one - s * s);
        if (job.dc) d_c += load(job.dc + row * H + u, lanes);
        if (edited) edits.undo(kC, d_c);
        store(dc, d_c * gates.f, lanes);
        const vf c = c_before ? load(c_before + u, lanes) : vf{};
        vf d_i = d_c * gates.g, d_f = d_c * c, d_g = d_c * gates.i, d_o = d_h * s;
        if (job.dgates) {
            const Gates more(job.dgates + row * kGates * H + u, H, lanes);
            d_i += more.i, d_f += more.f, d_g += more.g, d_o += more.o;
        }
        if (edited) edits.undo(kI, d_i), edits.undo(kF, d_f), edits.undo(kG, d_g), edits.undo(kO, d_o);
        vf d_z[kGates] = {d_i * before.i * (one - before.i), d_f * before.f * (one - before.f),
                          d_g * (one - before.g * before.g), d_o * before.o * (one - before.o)};
        for (int gate = 0; gate < kGates; ++gate) {
            if (edited) edits.undo(static_cast<Place>(kIPre + gate), d_z[gate]);
            store(dg + gate * H + u, d_z[gate], lanes);
        }
    }
};

// dh of the step before = dg W_hh, or dx = dg W_ih: for one block of kTile columns of some rows.
template <class Number, int V>
struct Backwards {
    const element* const* dg;
    std::int64_t K;
    const packed* w;
    const std::int64_t* rows;  // where each row goes
    Number* to;
    std::int64_t columns, left;  // of a row of `to`; of these, from the block on

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][V] = {};
        tile<R, V>(dg + first, K, w, acc);
        for (int r = 0; r < R; ++r) {
            Number* row = to + rows[first + r] * columns;
            for (int v = 0; v < V; ++v) store(row + v * kLanes, acc[r][v], left - v * kLanes);
        }
    }
};

// One block of columns of `count` rows: as many vectors as it has.
template <class Number, int V = kGates>
inline void run_backwards(const Backwards<Number, kGates>& job, std::int64_t count) {
    if constexpr (V > 1) {
        if (job.left <= (V - 1) * kLanes) return run_backwards<Number, V - 1>(job, count);
    }
    for_tiles(count, Backwards<Number, V>{job.dg, job.K, job.w, job.rows, job.to, job.columns, job.left});
}

// A tile of the weights' gradients: some inputs times kTile pre-activations, summed over the rows of a chunk.
struct WeightTile {
    const packed* inputs;
    std::int64_t inputs_step;
    const packed* dg;
    std::int64_t dg_step, depth;
    real* sums;
    std::int64_t sums_step;

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][kGates];
        real* at = sums + first * sums_step;
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < kGates; ++v) acc[r][v] = load(at + r * sums_step + v * kLanes);
        }
        outer_tile<R, kGates>(inputs + first, inputs_step, dg, dg_step, depth, acc);
        for (int r = 0; r < R; ++r) {
            for (int v = 0; v < kGates; ++v) store(at + r * sums_step + v * kLanes, acc[r][v]);
        }
    }
};

// What the threads of a backward scan share.
struct BackwardState {
    const BackwardJob& job;
    const std::int64_t chunk_steps;
    const std::int64_t inputs, inputs_step;  // x, h and a one side by side
    const std::int64_t dg_step;              // of a row of dg; padded, so that rows do not share cache sets
    const Buffer<packed> w_hh, w_ih;
    const Buffer<element> dg;     // [rows of a chunk, dg_step]
    const Buffer<packed> inputs_of_rows;  // [depth(rows of a chunk), inputs_step]
    const Buffer<real> sums;      // [inputs, dg_step]: the weights' gradients, turned round

    BackwardState(const BackwardJob& job, int threads)
        : job(job), chunk_steps(std::max<std::int64_t>(std::min(kChunkRows / std::max<std::int64_t>(job.N, 1), job.T), 1)),
          inputs(job.C + job.H + 1), inputs_step(inputs + kLanes),
          dg_step(blocks(kGates * job.H, kTile) * kTile + kLanes), w_hh(matrix_size(kGates * job.H, job.H)),
          w_ih(job.dx ? matrix_size(kGates * job.H, job.C) : 0), dg(chunk_steps * job.N * dg_step),
          inputs_of_rows(depth(chunk_steps * job.N) * inputs_step), sums(weights() ? inputs * dg_step : 0) {
        pack_matrix(job.w_hh, kGates * job.H, job.H, threads, w_hh.data());
        if (job.dx) pack_matrix(job.w_ih, kGates * job.H, job.C, threads, w_ih.data());
        std::fill_n(dg.data(), chunk_steps * job.N * dg_step, element{});
        if (weights()) std::fill_n(sums.data(), inputs * dg_step, real{});
    }

    bool weights() const { return job.dw_ih || job.dw_hh || job.db; }

private:
    // Rows of a chunk: enough to sum over before sums go to memory, few enough to stay in the cache.
    static constexpr std::int64_t kChunkRows = 384;
};

// What one thread does: in the scan, some rows and some blocks of units; in the products after it, its part of them.
class BackwardShare {
public:
    BackwardShare(const BackwardState& state, Range rows, Range blocks, int thread, int threads)
        : state_(state), job_(state.job), order_{state.job}, rows_(rows), first_(blocks.first * kLanes),
          last_(std::min(blocks.last * kLanes, state.job.H)), thread_(thread), threads_(threads),
          zeros_(static_cast<std::size_t>(std::max<std::int64_t>({job_.C, job_.H, kTile}))), panel_(kPairs ? most() * kTile : 0) {
        const std::size_t all = static_cast<std::size_t>(most());
        dg_.resize(all), at_.resize(all), n_.resize(all), t_.resize(all);
        begins_.resize(static_cast<std::size_t>(state.chunk_steps) + 1);
    }

    // Calls step() where the threads that share units wait for one another, all() where all threads do.
    template <class Step, class All>
    void run(const Step& step, const All& all) {
        // dh0 and dc0 carry the gradients from step to step.
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            const std::int64_t at = n * job_.H + first_;
            std::copy_n(job_.dh_n + at, last_ - first_, job_.dh0 + at);
            std::copy_n(job_.dc_n + at, last_ - first_, job_.dc0 + at);
        }
        for (std::int64_t last = job_.T; last > 0; last -= state_.chunk_steps) {
            const std::int64_t first = std::max<std::int64_t>(last - state_.chunk_steps, 0);
            list(first, last - first);
            for (std::int64_t j = last - first - 1; j >= 0; --j) scan(order_.step(first + j), j, step);
            if (state_.weights()) gather();
            all();
            if (job_.dx) input_gradients();
            if (state_.weights()) add_weight_gradients();
            all();
        }
        if (state_.weights()) give_weight_gradients();
    }

private:
    std::int64_t most() const { return state_.chunk_steps * job_.N; }

    // The live rows of a chunk's steps, one after another; where rows have ended, dx is zero.
    void list(std::int64_t k, std::int64_t steps) {
        std::int64_t count = 0;
        for (std::int64_t j = 0; j < steps; ++j) {
            const std::int64_t t = order_.step(k + j);
            begins_[static_cast<std::size_t>(j)] = count;
            for (std::int64_t n = 0; n < job_.N; ++n) {
                const std::int64_t row = t * job_.N + n;
                if (order_.live(t, n)) {
                    const std::size_t i = static_cast<std::size_t>(count);
                    dg_[i] = state_.dg.data() + count * state_.dg_step;
                    at_[i] = row, t_[i] = t, n_[i] = n;
                    ++count;
                } else if (job_.dx && rows_.first <= n && n < rows_.last && first_ == 0) {
                    std::fill_n(job_.dx + row * job_.C, job_.C, element{});
                }
            }
        }
        begins_[static_cast<std::size_t>(steps)] = count_ = count;
    }

    bool enters(std::int64_t t, std::int64_t n) const {
        const std::int64_t before = step_before(t);
        return before < 0 || before >= job_.T || !order_.live(before, n);
    }

    std::int64_t step_before(std::int64_t t) const { return job_.reverse ? t + 1 : t - 1; }

    template <class Step>
    void scan(std::int64_t t, std::int64_t j, const Step& step) {
        const auto begin = n_.begin() + begins_[static_cast<std::size_t>(j)];
        const auto end = n_.begin() + begins_[static_cast<std::size_t>(j) + 1];
        const std::int64_t first = std::lower_bound(begin, end, rows_.first) - n_.begin();
        const std::int64_t last = std::lower_bound(begin, end, rows_.last) - n_.begin();
        for (std::int64_t i = first; i < last; ++i) gates(t, n_[static_cast<std::size_t>(i)], i);
        step();
        // There and back again: the weights that were used last are still in the cache.
        const std::int64_t K = kGates * job_.H, from = first_ / kTile, count = blocks(last_, kTile) - from;
        for (std::int64_t k = 0; k < count; ++k) {
            const std::int64_t b = from + (t % 2 ? count - 1 - k : k);
            const std::int64_t u = std::max(b * kTile, first_), left = std::min((b + 1) * kTile, last_) - u;
            const packed* w = state_.w_hh.data() + b * kTile * depth(K) + u % kTile;
            run_backwards(Backwards<real, kGates>{dg_.data() + first, K, w, n_.data() + first, job_.dh0 + u, job_.H, left},
                          last - first);
        }
        for (std::int64_t i = first; i < last; ++i) {
            const std::int64_t n = n_[static_cast<std::size_t>(i)];
            if (order_.cut(t, n)) clear(n);
        }
    }

    void gates(std::int64_t t, std::int64_t n, std::int64_t i) const {
        const std::int64_t H = job_.H;
        const real* c_before = enters(t, n) ? job_.c0 + n * H : job_.c + (step_before(t) * job_.N + n) * H;
        const GateGradients row{job_, t, n, state_.dg.data() + i * state_.dg_step,
                                order_.cut(t, n) ? nullptr : c_before, job_.edits && job_.edits->touches(t, n)};
        for (std::int64_t u = first_; u < last_; u += kLanes) row.run(u);
    }

    void clear(std::int64_t n) const {
        std::fill_n(job_.dh0 + n * job_.H + first_, last_ - first_, real{});
        std::fill_n(job_.dc0 + n * job_.H + first_, last_ - first_, real{});
    }

    const element* x(std::int64_t i) const {
        return job_.x + t_[static_cast<std::size_t>(i)] * job_.x_step + n_[static_cast<std::size_t>(i)] * job_.x_row;
    }

    // The hidden state that comes into a step.
    const element* h_before(std::int64_t i) const {
        const std::int64_t t = t_[static_cast<std::size_t>(i)], n = n_[static_cast<std::size_t>(i)];
        if (order_.cut(t, n)) return zeros_.data();
        return enters(t, n) ? job_.h0 + n * job_.H : job_.out + (step_before(t) * job_.N + n) * job_.H;
    }

    // Input, hidden state before and a one of the chunk's rows, side by side (of pairs, two rows in one).
    void gather() const {
        constexpr std::int64_t each = kPairs ? 2 : 1;
        const Range mine = part(depth(count_), thread_, threads_);
        const element one[1] = {element_of(1)};
        for (std::int64_t k = mine.first; k < mine.last; ++k) {
            const std::int64_t i = each * k, next = std::min(i + each, count_) - 1;
            const bool alone = kPairs && next == i;
            packed* to = state_.inputs_of_rows.data() + k * state_.inputs_step;
            interleave(x(i), alone ? zeros_.data() : x(next), job_.C, to);
            interleave(h_before(i), alone ? zeros_.data() : h_before(next), job_.H, to + job_.C);
            interleave(one, one, 1, to + job_.C + job_.H);
        }
    }

    // For all threads together every row and column once: here this thread's part.
    void input_gradients() const {
        const std::int64_t K = kGates * job_.H, count = blocks(job_.C, kTile), groups = blocks(count_, kGroup);
        const Range mine = part(count * groups, thread_, threads_);
        for (std::int64_t part = mine.first; part < mine.last; ++part) {
            const std::int64_t u = part / groups * kTile, first = part % groups * kGroup;
            run_backwards(Backwards<element, kGates>{dg_.data() + first, K, state_.w_ih.data() + u * depth(K),
                                                     at_.data() + first, job_.dx + u, job_.C, job_.C - u},
                          std::min(kGroup, count_ - first));
        }
    }

    void add_weight_gradients() {
        const Range mine = part(blocks(kGates * job_.H, kTile), thread_, threads_);
        for (std::int64_t b = mine.first; b < mine.last; ++b) {
            const auto [dg, step] = panel(b * kTile);
            const auto add = [&, dg = dg, step = step](std::int64_t first, std::int64_t last) {
                for_tiles(last - first, WeightTile{state_.inputs_of_rows.data() + first, state_.inputs_step, dg, step,
                                                   depth(count_), state_.sums.data() + first * state_.dg_step + b * kTile,
                                                   state_.dg_step});
            };
            if (job_.dw_ih) add(0, job_.C);
            if (job_.dw_hh) add(job_.C, job_.C + job_.H);
            if (job_.db) add(job_.C + job_.H, state_.inputs);
        }
    }

    // kTile columns of dg from u on, and how far apart their rows are; of pairs, two rows in one.
    std::pair<const packed*, std::int64_t> panel(std::int64_t u) const {
        if constexpr (!kPairs) {
            return {reinterpret_cast<const packed*>(state_.dg.data() + u), state_.dg_step};  // of one type here
        } else {
            for (std::int64_t k = 0; k < depth(count_); ++k) {
                const element* row = state_.dg.data() + 2 * k * state_.dg_step + u;
                interleave(row, 2 * k + 1 < count_ ? row + state_.dg_step : zeros_.data(), kTile,
                           panel_.data() + k * kTile);
            }
            return {panel_.data(), kTile};
        }
    }

    // The sums, turned round.
    void give_weight_gradients() const {
        const Range mine = part(blocks(kGates * job_.H, kLanes), thread_, threads_);
        for (std::int64_t b = mine.first; b < mine.last; ++b) {
            const std::int64_t g = b * kLanes, rows = std::min<std::int64_t>(kLanes, kGates * job_.H - g);
            const real* sums = state_.sums.data() + g;
            if (job_.dw_ih) turn(sums, job_.C, rows, job_.dw_ih + g * job_.C);
            if (job_.dw_hh) turn(sums + job_.C * state_.dg_step, job_.H, rows, job_.dw_hh + g * job_.H);
            if (job_.db) store(job_.db + g, load(sums + (job_.C + job_.H) * state_.dg_step), rows);
        }
    }

    // Some columns of the sums [count, dg_step] to rows of a matrix [.., count].
    void turn(const real* from, std::int64_t count, std::int64_t rows, element* to) const {
        for (std::int64_t k = 0; k < count; k += kLanes) {
            vf square[kLanes] = {};
            const std::int64_t columns = std::min<std::int64_t>(kLanes, count - k);
            for (std::int64_t j = 0; j < columns; ++j) square[j] = load(from + (k + j) * state_.dg_step);
            transpose(square);
            for (std::int64_t j = 0; j < rows; ++j) store(to + j * count + k, square[j], columns);
        }
    }

    // Rows that go through a block of W_ih while it stays in the cache.
    static constexpr std::int64_t kGroup = 8 * kRows;

    const BackwardState& state_;
    const BackwardJob& job_;
    const Order<BackwardJob> order_;
    const Range rows_;
    const std::int64_t first_, last_;  // units
    const int thread_, threads_;
    const std::vector<element> zeros_;
    const Buffer<packed> panel_;
    std::vector<const element*> dg_;        // of the chunk's live rows,
    std::vector<std::int64_t> at_, t_, n_;  // where each lies: t * N + n, t, n
    std::vector<std::int64_t> begins_;      // of each step of the chunk
    std::int64_t count_ = 0;
};

inline void backward_on(const BackwardJob& job, int threads) {
    const Shares shares(job, threads, blocks(job.H, kLanes));
    const BackwardState state(job, threads);
    std::vector<std::unique_ptr<BackwardShare>> parts;
    for (int k = 0; k < threads; ++k) {  // those that have no part in the scan have one in the products
        const Range rows = k < shares.threads() ? shares.rows[k] : Range{job.N, job.N};
        const Range blocks = k < shares.threads() ? shares.blocks[k] : Range{0, 0};
        parts.push_back(std::make_unique<BackwardShare>(state, rows, blocks, k, threads));
    }
    Barrier barrier;
    const auto all = [&] { if (threads > 1) barrier.wait(threads); };
    const bool done = run_team(threads, true, [&](int k) { parts[k]->run([&] { if (shares.together) all(); }, all); });
    if (!done) backward_on(job, 1);
}

inline void backward(const BackwardJob& job) { backward_on(job, std::max(job.threads, 1)); }

}  // namespace
}  // namespace hiddenstate
