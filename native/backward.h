// The backward scan: from the gradients of outputs and final states to those of the pre-activations.
#pragma once

#include "cell.h"
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
    const real* c_before;  // [H], or null: zero
    bool edited;

    void run(std::int64_t u) const {
        const std::int64_t H = job.H, row = t * job.N + n, lanes = std::min<std::int64_t>(kLanes, H - u);
        const real *dh = job.dh0 + n * H + u;
        real* dc = job.dc0 + n * H + u;
        const Gates before(job.gates + row * kGates * H + u, H, lanes);
        Gates gates = before;
        const EditedRow edits{*job.edits, t, n, u, lanes};
        if (edited) edits.apply(gates);
        const vf one = splat(1), s = tanh(load(job.c + row * H + u, lanes));
        vf d_h = load(dh, lanes) + load(job.dout + t * job.out_step + n * job.out_row + u, lanes);
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
        element* dg = job.dg + row * kGates * H + u;
        for (int gate = 0; gate < kGates; ++gate) {
            if (edited) edits.undo(static_cast<Place>(kIPre + gate), d_z[gate]);
            store(dg + gate * H, d_z[gate], lanes);
        }
    }
};

// dh of the step before = dg W_hh, for one block of kTile units of the live rows.
struct BackwardStep {
    const BackwardJob& job;
    std::int64_t u;
    const packed* w;
    const std::int64_t* rows;
    const element* const* dg;

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][kGates] = {};
        tile<R>(dg + first, kGates * job.H, w, acc);
        for (int r = 0; r < R; ++r) {
            real* dh = job.dh0 + rows[first + r] * job.H + u;
            for (int v = 0; v < kGates; ++v) {
                const std::int64_t left = job.H - u - v * kLanes;
                if (left > 0) store(dh + v * kLanes, acc[r][v], left);
            }
        }
    }
};

// What one thread does: some rows, and some blocks of units.
class BackwardShare {
public:
    BackwardShare(const BackwardJob& job, Range rows, Range blocks)
        : job_(job), order_{job}, rows_(rows), first_(blocks.first * kTile), last_(std::min(blocks.last * kTile, job.H)),
          dg_(static_cast<std::size_t>(rows.size())), n_(dg_.size()) {}

    // Calls wait() in each step, when the gradients of the pre-activations are there.
    template <class Wait>
    void run(const Wait& wait) {
        // dh0 and dc0 carry the gradients from step to step.
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            const std::int64_t at = n * job_.H + first_;
            std::copy_n(job_.dh_n + at, last_ - first_, job_.dh0 + at);
            std::copy_n(job_.dc_n + at, last_ - first_, job_.dc0 + at);
        }
        for (std::int64_t k = job_.T - 1; k >= 0; --k) {
            const std::int64_t t = order_.step(k), count = gates(t);
            wait();
            for (std::int64_t u = first_; u < last_; u += kTile) {
                const packed* w = static_cast<const packed*>(job_.w) + u * depth(kGates * job_.H);
                for_tiles(count, BackwardStep{job_, u, w, n_.data(), dg_.data()});
            }
            for (std::int64_t r = 0; r < count; ++r) {
                if (order_.cut(t, n_[static_cast<std::size_t>(r)])) clear(n_[static_cast<std::size_t>(r)]);
            }
        }
    }

private:
    // The gradients of a step's pre-activations; lists its live rows, and returns how many there are.
    std::int64_t gates(std::int64_t t) {
        const std::int64_t N = job_.N, H = job_.H, before = job_.reverse ? t + 1 : t - 1;
        std::int64_t count = 0;
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            element* dg = job_.dg + (t * N + n) * kGates * H;
            if (!order_.live(t, n)) {
                for (int g = 0; g < kGates; ++g) std::fill_n(dg + g * H + first_, last_ - first_, element{});
                continue;
            }
            const bool enters = before < 0 || before >= job_.T || !order_.live(before, n);
            const real* c_before = enters ? job_.c0 + n * H : job_.c + (before * N + n) * H;
            const GateGradients row{job_, t, n, order_.cut(t, n) ? nullptr : c_before,
                                    job_.edits && job_.edits->touches(t, n)};
            for (std::int64_t u = first_; u < last_; u += kLanes) row.run(u);
            n_[static_cast<std::size_t>(count)] = n;
            dg_[static_cast<std::size_t>(count++)] = dg;
        }
        return count;
    }

    void clear(std::int64_t n) {
        std::fill_n(job_.dh0 + n * job_.H + first_, last_ - first_, real{});
        std::fill_n(job_.dc0 + n * job_.H + first_, last_ - first_, real{});
    }

    const BackwardJob& job_;
    const Order<BackwardJob> order_;
    const Range rows_;
    const std::int64_t first_, last_;  // units
    std::vector<const element*> dg_;   // of the live rows
    std::vector<std::int64_t> n_;      // and which they are
};

inline void backward_on(const BackwardJob& job, int threads) {
    const Shares shares(job, threads, blocks(job.H, kTile));
    std::vector<BackwardShare> parts;
    for (int k = 0; k < shares.threads(); ++k) parts.emplace_back(job, shares.rows[k], shares.blocks[k]);
    Barrier barrier;
    const bool done = run_team(shares.threads(), shares.together, [&](int k) {
        parts[k].run([&] { if (shares.together) barrier.wait(shares.threads()); });
    });
    if (!done) backward_on(job, 1);
}

inline void backward(const BackwardJob& job) { backward_on(job, std::max(job.threads, 1)); }

}  // namespace
}  // namespace hiddenstate
