// The backward scan: from the gradients of outputs and final states to those of input, weights and initial state.
//
// Some steps at a time (a chunk), from the last to the first. First the scan itself, step after step: the gradients of
// the pre-activations (dg), and through them and W_hh that of the hidden state before. Then, while dg is still in the
// cache, what is made of it: dx = dg W_ih, and the sums over all steps dW_ih += dg^T x, dW_hh += dg^T h, db += dg.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "kernel/cell.h"
#include "kernel/pack.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/tile.h"
#include "kernel/weight_gradients.h"

namespace hiddenstate {
namespace {

// What one layer and direction of a call reads and writes on the way back: views of the arrays of the call and its gradients.
struct LayerBackward {
    const element* x;  // as in LayerForward
    LayerDirection<HIDDENSTATE_PRECISION> self;
    LayerGradients<HIDDENSTATE_PRECISION> gradients;
    const real* gates;            // [T, N, 4H]: before edits
    const element* h0;            // [N, P]
    const real* c0;               // [N, H]
    const std::int64_t* lengths;  // the call's
    const std::uint8_t* reset;    // the call's
    const element* out;           // row (t, n) at out + t * out_step + n * out_row, P numbers
    const element* dout;          // at the strides of out
    const real *dh_n, *dc_n;      // [N, P], [N, H]; or null: zeros
    element* dx;                  // [T, N, C], or null: not needed; zero past a row's end
    real *dh0, *dc0;              // [N, P], [N, H]
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
};

// One vector of units of one row at one step: from the gradients of what the cells give (d_m) and of c (dc, in and out)
// to those of the pre-activations.
struct GateGradients {
    const LayerBackward& job;
    std::int64_t t, n;
    element* dg;           // [4H]: of the pre-activations
    const real* d_m;       // [H]: of m = o tanh(c), which is h without a projection
    element* m;            // [H]: where m goes, or null
    const real* c_before;  // [H], or null: zero
    bool edited;

    void run(std::int64_t u) const {
        const std::int64_t H = job.H, row = t * job.N + n, lanes = std::min<std::int64_t>(kLanes, H - u);
        real* dc = job.dc0 + n * H + u;
        const Gates before(job.gates + row * kGates * H + u, H, lanes);
        Gates gates = before;
        const EditedRow edits{job.self.edits, t, n, u, lanes};
        if (edited) edits.apply(gates);
        const vf one = splat(1), s = tanh(load(job.self.c + row * H + u, lanes)), d = load(d_m + u, lanes);
        if (m) store(m + u, gates.o * s, lanes);
        vf d_c = load(dc, lanes) + d * gates.o * (one - s * s);
        if (job.gradients.c) d_c += load(job.gradients.c + row * H + u, lanes);
        if (edited) edits.undo(kC, d_c);
        store(dc, d_c * gates.f, lanes);
        const vf c = c_before ? load(c_before + u, lanes) : vf{};
        vf d_i = d_c * gates.g, d_f = d_c * c, d_g = d_c * gates.i, d_o = d * s;
        if (job.gradients.gates) {
            const Gates more(job.gradients.gates + row * kGates * H + u, H, lanes);
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

// A product with gradients: dh of the step before = dg W_hh, dx = dg W_ih, dm = dh W_hr. V vectors of columns of a block,
// for some rows.
template <class Number, int V>
struct Backwards {
    const element* const* gradients;  // of each row, K numbers
    std::int64_t K;
    const packed* w;
    const std::int64_t* rows;  // where each row goes
    Number* to;
    std::int64_t columns, left;  // of a row of `to`; of these, from the block on

    template <class Height>
    void run(Height tall, std::int64_t first) const {
        vf acc[Height::most][V];
        clear(tall, acc);
        tile(tall, gradients + first, K, w, acc);
        for (int r = 0; r < tall.count; ++r) {
            Number* row = to + rows[first + r] * columns;
            for (int v = 0; v < V; ++v) {
                store(row + v * kLanes, acc[r][v], left - v * kLanes);
            }
        }
    }
};

// The same for all columns in a range, block after block; `back`wards every other time, since the weights that were
// used last are still in the cache.
template <class Number>
inline void run_backwards(Range range, bool back, const Backwards<Number, kGates>& job, std::int64_t count) {
    const std::int64_t from = range.first / kTile, n = blocks(range.last, kTile) - from;
    for (std::int64_t k = 0; range.size() > 0 && k < n; ++k) {
        const std::int64_t b = from + (back ? n - 1 - k : k);
        const std::int64_t u = std::max(b * kTile, range.first), left = std::min((b + 1) * kTile, range.last) - u;
        const packed* w = job.w + b * kTile * depth(job.K) + u % kTile;
        with_vectors(left, [&](auto V) {
            for_tiles(count, Backwards<Number, V>{job.gradients, job.K, w, job.rows, job.to + u, job.columns, left});
        });
    }
}

// What the threads of a backward scan share.
struct BackwardState {
    const LayerBackward& job;
    const std::int64_t chunk_steps, chunk_rows;
    const Buffer<packed> w_hh, w_ih, w_hr;
    const std::int64_t dg_step, dh_step;
    const Buffer<element> dg;  // [rows of a chunk, dg_step]
    // With a projection, of a chunk's rows: gradients of h [rows, dh_step], what the cells gave [rows, H]; and [N, H] the
    // gradient of that.
    const Buffer<element> dh, m;
    const Buffer<real> dm;
    const WeightGradient of_x, of_h, of_m;  // of W_ih, W_hh, W_hr
    const Buffer<real> of_bias;             // [4H]: of the bias

    explicit BackwardState(const LayerBackward& job)
        : job(job), chunk_steps(std::max<std::int64_t>(std::min(kChunkRows / std::max<std::int64_t>(job.N, 1), job.T), 1)),
          chunk_rows(chunk_steps * job.N), w_hh(matrix_size(kGates * job.H, job.P)),
          w_ih(job.dx ? matrix_size(kGates * job.H, job.C) : 0), w_hr(job.self.weights.hr ? matrix_size(job.P, job.H) : 0),
          dg_step(padded(kGates * job.H)), dh_step(padded(job.P)), dg(chunk_rows * dg_step),
          dh(job.self.weights.hr ? chunk_rows * dh_step : 0), m(job.self.weights.hr ? chunk_rows * job.H : 0), dm(job.N * job.H),
          of_x(job.gradients.ih, kGates * job.H, job.C, chunk_rows), of_h(job.gradients.hh, kGates * job.H, job.P, chunk_rows),
          of_m(job.gradients.hr, job.P, job.H, chunk_rows), of_bias(job.gradients.bias ? kGates * job.H : 0) {
        pack_matrix(job.self.weights.hh, kGates * job.H, job.P, job.threads, w_hh.data());
        if (job.dx) pack_matrix(job.self.weights.ih, kGates * job.H, job.C, job.threads, w_ih.data());
        if (job.self.weights.hr) pack_matrix(job.self.weights.hr, job.P, job.H, job.threads, w_hr.data());
        std::fill_n(dg.data(), chunk_rows * dg_step, element{});
        if (job.self.weights.hr) std::fill_n(dh.data(), chunk_rows * dh_step, element{});
    }

private:
    // Rows of a chunk: enough to sum over before sums go to memory, few enough to stay in the cache.
    static constexpr std::int64_t kChunkRows = 384;
};

// What one thread does: in the scan, some rows and some blocks of units; in the products after it, its part of them.
class BackwardShare {
public:
    BackwardShare(const BackwardState& state, Range rows, Range units, Range hidden, int thread, int threads)
        : state_(state), job_(state.job), order_{state.job}, rows_(rows), units_(units), hidden_(hidden),
          thread_(thread), threads_(threads),
          of_layer_(vectors(kGates * job_.H, thread, threads)), of_projection_(vectors(job_.P, thread, threads)),
          zeros_(static_cast<std::size_t>(std::max(kGates * job_.H, job_.C))),
          turned_(kPairs ? turned_size(std::max(of_layer_.size(), of_projection_.size())) : 0) {
        const std::size_t all = size(state.chunk_rows);
        dg_.resize(all), dh_.resize(all), at_.resize(all), n_.resize(all), t_.resize(all);
        begins_.resize(size(state.chunk_steps) + 1);
        for (std::size_t i = 0; i < all; ++i) {
            dg_[i] = state.dg.data() + static_cast<std::int64_t>(i) * state.dg_step;
            dh_[i] = job_.self.weights.hr ? state.dh.data() + static_cast<std::int64_t>(i) * state.dh_step : nullptr;
        }
    }

    // Calls step() where the threads that share units wait for one another, all() where all threads do.
    template <class Step, class All>
    void run(const Step& step, const All& all) {
        // dh0 and dc0 carry the gradients from step to step.
        for (std::int64_t n = rows_.first; n < rows_.last; ++n) {
            begin(job_.dh_n, job_.dh0, n * job_.P + hidden_.first, hidden_.size());
            begin(job_.dc_n, job_.dc0, n * job_.H + units_.first, units_.size());
        }
        std::int64_t first = job_.T;
        do {  // once at least, so that sums of nothing are zero
            const std::int64_t last = first;
            first = std::max<std::int64_t>(last - state_.chunk_steps, 0);
            list(first, last - first);
            for (std::int64_t j = last - first - 1; j >= 0; --j) scan(order_.step(first + j), j, step);
            all();
            gather();
            all();
            if (job_.dx) input_gradients();
            weight_gradients(last == job_.T);
            all();
        } while (first > 0);
        give();
    }

private:
    static void begin(const real* from, real* to, std::int64_t first, std::int64_t count) {
        if (from) std::copy_n(from + first, count, to + first);
        else std::fill_n(to + first, count, real{});
    }

    static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

    // The live rows of a chunk's steps, one after another; where rows have ended, dx is zero.
    void list(std::int64_t k, std::int64_t steps) {
        std::int64_t count = 0;
        for (std::int64_t j = 0; j < steps; ++j) {
            const std::int64_t t = order_.step(k + j);
            begins_[size(j)] = count;
            for (std::int64_t n = 0; n < job_.N; ++n) {
                const std::int64_t row = t * job_.N + n;
                if (order_.live(t, n)) {
                    at_[size(count)] = row, t_[size(count)] = t, n_[size(count)] = n;
                    ++count;
                } else if (job_.dx && rows_.first <= n && n < rows_.last && units_.first == 0) {
                    std::fill_n(job_.dx + row * job_.C, job_.C, element{});
                }
            }
        }
        begins_[size(steps)] = count_ = count;
    }

    bool enters(std::int64_t t, std::int64_t n) const {
        const std::int64_t before = step_before(t);
        return before < 0 || before >= job_.T || !order_.live(before, n);
    }

    std::int64_t step_before(std::int64_t t) const { return job_.reverse ? t + 1 : t - 1; }

    // This thread's rows of the j-th step of the chunk.
    Range rows_of(std::int64_t j) const {
        const auto begin = n_.begin() + begins_[size(j)], end = n_.begin() + begins_[size(j) + 1];
        return {std::lower_bound(begin, end, rows_.first) - n_.begin(),
                std::lower_bound(begin, end, rows_.last) - n_.begin()};
    }

    template <class Step>
    void scan(std::int64_t t, std::int64_t j, const Step& step) {
        const Range mine = rows_of(j);
        const std::int64_t* rows = n_.data() + mine.first;
        const bool back = t % 2;
        for (std::int64_t i = mine.first; i < mine.last; ++i) add_output_gradient(t, n_[size(i)], i);
        if (job_.self.weights.hr) {
            step();
            run_backwards(units_, back,
                          Backwards<real, kGates>{dh_.data() + mine.first, job_.P, state_.w_hr.data(), rows,
                                                  state_.dm.data(), job_.H, 0},
                          mine.size());
        }
        for (std::int64_t i = mine.first; i < mine.last; ++i) gates(t, n_[size(i)], i);
        step();
        run_backwards(hidden_, back,
                      Backwards<real, kGates>{dg_.data() + mine.first, kGates * job_.H, state_.w_hh.data(), rows,
                                              job_.dh0, job_.P, 0},
                      mine.size());
        for (std::int64_t i = mine.first; i < mine.last; ++i) {
            if (order_.cut(t, n_[size(i)])) clear(n_[size(i)]);
        }
    }

    // The gradient of a step's hidden state: that of the steps after, and that of the output.
    void add_output_gradient(std::int64_t t, std::int64_t n, std::int64_t i) const {
        const bool edited = job_.self.edits && job_.self.edits->touches(t, n);
        const element* dout = job_.dout + t * job_.out_step + n * job_.out_row;
        for (std::int64_t u = hidden_.first; u < hidden_.last; u += kLanes) {
            const std::int64_t lanes = std::min<std::int64_t>(kLanes, hidden_.last - u);
            vf d_h = load(job_.dh0 + n * job_.P + u, lanes) + load(dout + u, lanes);
            if (edited) EditedRow{job_.self.edits, t, n, u, lanes}.undo(kH, d_h);
            if (job_.self.weights.hr) {
                store(state_.dh.data() + i * state_.dh_step + u, d_h, lanes);
            } else {
                store(state_.dm.data() + n * job_.H + u, d_h, lanes);
            }
        }
    }

    void gates(std::int64_t t, std::int64_t n, std::int64_t i) const {
        const std::int64_t H = job_.H;
        const real* c_before = enters(t, n) ? job_.c0 + n * H : job_.self.c + (step_before(t) * job_.N + n) * H;
        const GateGradients row{job_, t, n, state_.dg.data() + i * state_.dg_step, state_.dm.data() + n * H,
                                job_.self.weights.hr ? state_.m.data() + i * H : nullptr,
                                order_.cut(t, n) ? nullptr : c_before, job_.self.edits && job_.self.edits->touches(t, n)};
        for (std::int64_t u = units_.first; u < units_.last; u += kLanes) row.run(u);
    }

    void clear(std::int64_t n) const {
        std::fill_n(job_.dh0 + n * job_.P + hidden_.first, hidden_.size(), real{});
        std::fill_n(job_.dc0 + n * job_.H + units_.first, units_.size(), real{});
    }

    const element* x(std::int64_t i) const { return job_.x + t_[size(i)] * job_.x_step + n_[size(i)] * job_.x_row; }

    // The hidden state that comes into a step.
    const element* h_before(std::int64_t i) const {
        const std::int64_t t = t_[size(i)], n = n_[size(i)];
        if (order_.cut(t, n)) return zeros_.data();
        return enters(t, n) ? job_.h0 + n * job_.P : job_.out + step_before(t) * job_.out_step + n * job_.out_row;
    }

    // What the gradients are multiplied with, of the chunk's rows: input, hidden state before, and what the cells gave.
    void gather() const {
        constexpr std::int64_t each = kPairs ? 2 : 1;
        const Range mine = part(depth(count_), thread_, threads_);
        for (std::int64_t k = mine.first; k < mine.last; ++k) {
            const auto put = [&](const WeightGradient& of, const auto& row) {
                if (of.to) of.put(k, row_or_zeros(each * k, row), row_or_zeros(each * k + 1, row));
            };
            put(state_.of_x, [&](std::int64_t i) { return x(i); });
            put(state_.of_h, [&](std::int64_t i) { return h_before(i); });
            put(state_.of_m, [&](std::int64_t i) { return state_.m.data() + i * job_.H; });
        }
    }

    template <class Get>
    const element* row_or_zeros(std::int64_t i, const Get& row) const {
        return i < count_ ? row(i) : zeros_.data();
    }

    // For all threads together every row and column once: here this thread's part.
    void input_gradients() const {
        const std::int64_t count = blocks(job_.C, kTile), groups = blocks(count_, kGroup);
        const Range mine = part(count * groups, thread_, threads_);
        for (std::int64_t part = mine.first; part < mine.last; ++part) {
            const std::int64_t u = part / groups * kTile, first = part % groups * kGroup;
            run_backwards({u, std::min(u + kTile, job_.C)}, false,
                          Backwards<element, kGates>{dg_.data() + first, kGates * job_.H, state_.w_ih.data(),
                                                     at_.data() + first, job_.dx, job_.C, 0},
                          std::min(kGroup, count_ - first));
        }
    }

    // Adds what a chunk has, which may be the first, to this thread's part of the sums.
    void weight_gradients(bool begins) const {
        if (job_.gradients.ih || job_.gradients.hh) {
            const Turned dg = turned(state_.dg.data(), state_.dg_step, of_layer_);
            if (job_.gradients.ih) add(state_.of_x, dg, of_layer_, begins);
            if (job_.gradients.hh) add(state_.of_h, dg, of_layer_, begins);
        }
        if (job_.gradients.hr) add(state_.of_m, turned(state_.dh.data(), state_.dh_step, of_projection_), of_projection_, begins);
        for (std::int64_t g = of_layer_.first; job_.gradients.bias && g < of_layer_.last; g += kTile) {
            with_vectors(std::min<std::int64_t>(of_layer_.last - g, kTile), [&](auto V) { add_bias<V>(g, begins); });
        }
    }

    // Gradients as the tiles read them, which multiply each with all inputs.
    struct Turned {
        const packed* at;
        std::int64_t step;
    };

    void add(const WeightGradient& to, const Turned& gradients, Range mine, bool begins) const {
        for (std::int64_t u = 0; u < to.columns; u += kTile) {
            const std::int64_t left = to.columns - u;
            with_vectors(std::min<std::int64_t>(left, kTile), [&](auto V) {
                for_tiles(mine.size(), WeightTile<V>{gradients.at, gradients.step, to.block(u), depth(count_),
                                                     to.sums() + mine.first * to.columns + u, to.columns, left, begins});
            });
        }
    }

    // V vectors of the bias's gradient.
    template <int V>
    void add_bias(std::int64_t g, bool begins) const {
        real* sums = state_.of_bias.data() + g;
        const std::int64_t left = of_layer_.last - g;
        vf acc[V] = {};
        for (int v = 0; !begins && v < V; ++v) acc[v] = load(sums + v * kLanes, left - v * kLanes);
        for (std::int64_t i = 0; i < count_; ++i) {
            const element* row = state_.dg.data() + i * state_.dg_step + g;
            for (int v = 0; v < V; ++v) acc[v] += load(row + v * kLanes, kLanes);
        }
        for (int v = 0; v < V; ++v) store(sums + v * kLanes, acc[v], left - v * kLanes);
    }

    // Some columns of a chunk's gradients [rows, step]: the rows side by side; of pairs, two rows in one; where matrices are
    // multiplied, turned round, so that of each column all rows are side by side.
    Turned turned(const element* gradients, std::int64_t step, Range mine) const {
        const element* first = gradients + mine.first;
        const auto row = [&](std::int64_t i) { return row_or_zeros(i, [&](std::int64_t i) { return first + i * step; }); };
        if constexpr (!kPairs) {
            return {reinterpret_cast<const packed*>(first), step};  // of one type here
        } else if constexpr (kMatrices) {
            turn(row, mine.size());
            return {turned_.data(), turned_step(mine.size())};
        } else {
            const std::int64_t to = turned_step(mine.size());
            for (std::int64_t k = 0; k < depth(count_); ++k) {
                interleave(row(2 * k), row(2 * k + 1), mine.size(), turned_.data() + k * to);
            }
            return {turned_.data(), to};
        }
    }

    std::int64_t turned_step(std::int64_t columns) const { return (kMatrices ? depth(state_.chunk_rows) : columns) + kLanes; }

    std::int64_t turned_size(std::int64_t columns) const {
        return (kMatrices ? columns : depth(state_.chunk_rows)) * turned_step(columns);
    }

    // Turns a chunk's rows round, of so many numbers each, a square of registers at a time.
    template <class Row>
    void turn(const Row& row, std::int64_t columns) const {
#ifdef __AMX_BF16__
        for (std::int64_t k = 0; k < depth(count_); k += kLanes) {
            for (std::int64_t u = 0; u < columns; u += kLanes) {
                vf square[kLanes];
                for (int j = 0; j < kLanes; ++j) {
                    const std::int64_t i = 2 * (k + j);
                    square[j] = pairs_of(row(i) + u, row(i + 1) + u, columns - u);
                }
                transpose(square);
                for (std::int64_t j = 0; j < std::min<std::int64_t>(kLanes, columns - u); ++j) {
                    std::memcpy(turned_.data() + (u + j) * turned_step(columns) + k, &square[j], sizeof(vf));
                }
            }
        }
#else
        (void)row, (void)columns;
#endif
    }

    // This thread's part of the sums, from where they are to where they are wanted.
    void give() const {
        if constexpr (kPairs) {
            for (const WeightGradient* of : {&state_.of_x, &state_.of_h, &state_.of_m}) {
                const Range mine = of == &state_.of_m ? of_projection_ : of_layer_;
                if (of->to) give(of->sums(), mine.first * of->columns, mine.last * of->columns, of->to);
            }
        }
        if (job_.gradients.bias) give(state_.of_bias.data(), of_layer_.first, of_layer_.last, job_.gradients.bias);
    }

    static void give(const real* sums, std::int64_t first, std::int64_t last, element* to) {
        for (std::int64_t k = first; k < last; k += kLanes) store(to + k, load(sums + k, last - k), last - k);
    }

    // Rows that go through a block of W_ih while it stays in the cache.
    static constexpr std::int64_t kGroup = 8 * kRows;

    const BackwardState& state_;
    const LayerBackward& job_;
    const Order<LayerBackward> order_;
    const Range rows_, units_, hidden_;
    const int thread_, threads_;
    const Range of_layer_, of_projection_;  // the gradients of pre-activations and hidden states that this thread sums up
    const std::vector<element> zeros_;
    const Buffer<packed> turned_;
    std::vector<const element*> dg_, dh_;   // of the chunk's live rows,
    std::vector<std::int64_t> at_, t_, n_;  // where each lies: t * N + n, t, n
    std::vector<std::int64_t> begins_;      // of each step of the chunk
    std::int64_t count_ = 0;
};

// The threads that share a scan. Those that have no part in the scan itself have one in the products.
class BackwardTeam {
public:
    BackwardTeam(const BackwardState& state, int threads) : shares_(state.job, threads) {
        for (int k = 0; k < threads; ++k) {
            const bool scans = k < shares_.threads();
            const std::size_t mine = static_cast<std::size_t>(k);
            parts_.push_back(std::make_unique<BackwardShare>(
                state, scans ? shares_.rows[mine] : Range{state.job.N, state.job.N}, scans ? shares_.units[mine] : Range{0, 0},
                scans ? shares_.hidden[mine] : Range{0, 0}, k, threads));
        }
    }

    int threads() const { return static_cast<int>(parts_.size()); }
    bool together() const { return threads() > 1; }

    void run(int k) {
        const auto all = [&] { if (together()) barrier_.wait(threads()); };
        parts_[static_cast<std::size_t>(k)]->run([&] { if (shares_.together) all(); }, all);
    }

private:
    const Partition shares_;
    std::vector<std::unique_ptr<BackwardShare>> parts_;
    Barrier barrier_;
};

// Layers and directions that have nothing to do with one another; all on as many threads as the first.
inline void backward_layers(const std::vector<LayerBackward>& jobs) {
    std::deque<BackwardState> states;
    std::vector<const BackwardState*> each;
    for (const LayerBackward& job : jobs) each.push_back(&states.emplace_back(job));
    run_teams<BackwardTeam>(each, std::max(jobs.front().threads, 1));
}

}  // namespace
}  // namespace hiddenstate
