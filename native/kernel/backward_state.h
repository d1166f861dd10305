// The state that the threads of a backward scan share, and the rows of a chunk.
#pragma once

#include <algorithm>
#include <vector>

#include "kernel/pack_columns.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/weight_gradients.h"

namespace hiddenstate {
namespace {

// The inputs and outputs of the backward pass of one layer and direction: views of the arrays of the call and its gradients.
struct LayerBackward {
    const element* x;  // as in LayerForward
    LayerDirection<HIDDENSTATE_PRECISION> self;
    LayerGradients<HIDDENSTATE_PRECISION> gradients;
    const real* gates;            // [T, N, kRecord * H]: before edits; null if not saved, in which case they are recomputed
    const element* h0;            // [N, P]
    const real* c0;               // [N, H]
    const std::int64_t* lengths;  // the call's
    const std::uint8_t* reset;    // the call's
    BorderStates<const element> reset_h;  // for this layer and direction
    BorderStates<const real> reset_c;
    const element* out;           // row (t, n) is at out + t * out_step + n * out_row and has P elements
    const element* dout;          // with the strides of out
    const real *dh_n, *dc_n;      // [N, P], [N, H]; null means zeros
    element* dx;                  // [T, N, C], or null if not needed; zero past a row's end
    real *dh0, *dc0;              // [N, P], [N, H]; during the scan, the gradients of the states of the current step
    BorderStates<real> dreset_h, dreset_c;
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
    bool relu;  // for a plain RNN: relu instead of tanh

    bool projects() const { return self.weights.hr; }
    bool is_edited(std::int64_t t, std::int64_t n) const { return self.edits && self.edits->touches(t, n); }
};

// The live rows of a chunk: at each step, the rows that have not ended.
class ChunkRows {
public:
    ChunkRows(const LayerBackward& job, std::int64_t steps)
        : job_(job), order_{job}, begins_(static_cast<std::size_t>(steps) + 1) {
        for (auto* each : {&at_, &t_, &n_}) each->resize(static_cast<std::size_t>(steps * job.N));
    }

    // Lists `steps` steps, starting with the k-th in reading order; calls ended(t, n) for each row that has ended.
    template <class Ended>
    void list(std::int64_t k, std::int64_t steps, const Ended& ended) {
        std::size_t count = 0;
        for (std::int64_t j = 0; j < steps; ++j) {
            const std::int64_t t = order_.step(k + j);
            begins_[static_cast<std::size_t>(j)] = static_cast<std::int64_t>(count);
            for (std::int64_t n = 0; n < job_.N; ++n) {
                if (order_.live(t, n)) {
                    at_[count] = t * job_.N + n, t_[count] = t, n_[count] = n;
                    ++count;
                } else {
                    ended(t, n);
                }
            }
        }
        begins_[static_cast<std::size_t>(steps)] = count_ = static_cast<std::int64_t>(count);
    }

    std::int64_t count() const { return count_; }

    // The step of the i-th live row, its batch row, and t * N + n.
    std::int64_t t(std::int64_t i) const { return t_[static_cast<std::size_t>(i)]; }
    std::int64_t n(std::int64_t i) const { return n_[static_cast<std::size_t>(i)]; }
    const std::int64_t* all_n() const { return n_.data(); }
    const std::int64_t* all_at() const { return at_.data(); }

    // The live rows of the j-th step that are in a range of batch rows.
    Range of_step(std::int64_t j, Range rows) const {
        const auto begin = n_.begin() + begins_[static_cast<std::size_t>(j)];
        const auto end = n_.begin() + begins_[static_cast<std::size_t>(j) + 1];
        return {std::lower_bound(begin, end, rows.first) - n_.begin(), std::lower_bound(begin, end, rows.last) - n_.begin()};
    }

private:
    const LayerBackward& job_;
    const Order<LayerBackward> order_;
    std::vector<std::int64_t> at_, t_, n_;
    std::vector<std::int64_t> begins_;  // for each step of the chunk
    std::int64_t count_ = 0;
};

// Pointers to the rows of a buffer, starting at `column`, for use by tiles.
inline std::vector<const element*> row_pointers(const Buffer<element>& rows, std::int64_t column, std::int64_t count, std::int64_t step) {
    std::vector<const element*> found;
    for (std::int64_t i = 0; i < count; ++i) found.push_back(rows.data() + i * step + column);
    return found;
}

// The weights of a layer, packed as for the forward pass, for recomputing gates.
struct GateWeights {
    const std::int64_t step;  // the distance from one block of units to the next
    const Buffer<packed> w;
    const Buffer<real> biases;

    explicit GateWeights(const LayerBackward& job)
        : step(kTile * (depth(job.C) + depth(job.P))), w(job.gates ? 0 : layer_size(job.C, job.H, job.P)),
          biases(job.gates ? 0 : bias_size(job.H)) {
        if (!job.gates) pack_layer(job.self.weights, job.C, job.H, job.P, job.threads, w.data(), biases.data());
    }

    const packed* block(std::int64_t b) const { return w.data() + b * step; }
    const real* bias(std::int64_t b) const { return biases.data() + b * kBiases; }
};

// Packed weights, and the results of a chunk's scan that the products after it read.
struct BackwardState {
    const LayerBackward& job;
    const std::int64_t chunk_steps, chunk_rows;
    const Buffer<packed> w_hh, w_ih, w_hr;
    const std::int64_t dg_step, dh_step;
    const Buffer<element> dg;  // [rows of a chunk, dg_step]: the gradients of the pre-activations
    const GateWeights gate_weights;   // empty if gates were saved
    const Buffer<real> gates_of_pairs;  // [rows of a chunk, dg_step]: recomputed gates, if they don't fit into dg
    // Only with a projection, for a chunk's rows: the gradients of h [rows, dh_step], and m = o tanh(c) [rows, H].
    const Buffer<element> dh, m;
    const Buffer<real> dm;  // [N, H]: the gradient of m at the current step; without a projection, m equals h
    const std::vector<const element*> dg_rows, recurrent_rows, dh_rows;  // `recurrent_rows` point at the part of dg that W_hh multiplies
    const WeightGradient of_x, of_h, of_m;  // for W_ih, W_hh, W_hr
    const Buffer<real> of_bias, of_bias_hh;  // [kGates * H]: for the biases; the second only if its gradient differs

    explicit BackwardState(const LayerBackward& job)
        : job(job), chunk_steps(steps_of_chunk(job.T, job.N)),
          chunk_rows(chunk_steps * job.N), w_hh(matrix_size(kGates * job.H, job.P)),
          w_ih(job.dx ? matrix_size(kGates * job.H, job.C) : 0), w_hr(job.projects() ? matrix_size(job.P, job.H) : 0),
          dg_step(padded(kSlopes * job.H)), dh_step(padded(job.P)), dg(chunk_rows * dg_step), gate_weights(job),
          gates_of_pairs(kPairs && !job.gates ? chunk_rows * dg_step : 0), dh(job.projects() ? chunk_rows * dh_step : 0),
          m(job.projects() ? chunk_rows * job.H : 0), dm(job.N * job.H),
          dg_rows(row_pointers(dg, 0, chunk_rows, dg_step)), recurrent_rows(row_pointers(dg, kRecurrent * job.H, chunk_rows, dg_step)),
          dh_rows(row_pointers(dh, 0, job.projects() ? chunk_rows : 0, dh_step)),
          of_x(job.gradients.ih, kGates * job.H, job.C, chunk_rows), of_h(job.gradients.hh, kGates * job.H, job.P, chunk_rows),
          of_m(job.gradients.hr, job.P, job.H, chunk_rows), of_bias(job.gradients.bias ? kGates * job.H : 0), of_bias_hh(job.gradients.bias_hh ? kGates * job.H : 0) {
        pack_matrix(job.self.weights.hh, kGates * job.H, job.P, job.threads, w_hh.data());
        if (job.dx) pack_matrix(job.self.weights.ih, kGates * job.H, job.C, job.threads, w_ih.data());
        if (job.projects()) pack_matrix(job.self.weights.hr, job.P, job.H, job.threads, w_hr.data());
        clear_padding(dg, kSlopes * job.H, dg_step);
        if (job.projects()) clear_padding(dh, job.P, dh_step);
    }

    // The recomputed gates of the i-th row of a chunk, before edits. They share memory with their gradients, which are stored only after
    // the gates have been read.
    real* gates(std::int64_t i) const {
        if constexpr (kPairs) return gates_of_pairs.data() + i * dg_step;
        else return reinterpret_cast<real*>(dg.data()) + i * dg_step;  // the same type here
    }

private:
    // Sums over the rows of a chunk read whole vectors, including the padding after each row.
    void clear_padding(const Buffer<element>& rows, std::int64_t columns, std::int64_t step) const {
        for (std::int64_t i = 0; i < chunk_rows; ++i) std::fill_n(rows.data() + i * step + columns, step - columns, element{});
    }

    // The number of steps of a chunk: enough rows to amortise loading and storing the sums, but few enough to stay in the cache. Chunks are
    // of equal size, because a small one would load and store all sums for only a few rows.
    static std::int64_t steps_of_chunk(std::int64_t T, std::int64_t N) {
        constexpr std::int64_t kChunkRows = 384;
        const std::int64_t chunks = std::max<std::int64_t>((T * N + kChunkRows / 2) / kChunkRows, 1);
        return std::max<std::int64_t>(blocks(T, chunks), 1);
    }
};

}  // namespace
}  // namespace hiddenstate
