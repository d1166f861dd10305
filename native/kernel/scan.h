// The interface of the kernel: runs all layers and directions of an LSTM, GRU or plain RNN over a sequence, forward and backward.
//
// Symbols: T time steps, N batch rows, C input features, H units, a hidden state of size P (H without a projection), and L layers with D
// directions. Arrays are row-major and contiguous unless strides are given (in elements). The gates of a row are contiguous and in torch's
// order: 4H elements for an LSTM, 3H for a GRU, H for a plain RNN, written as GH below. A GRU's record has four values per unit: r, z, n,
// and n_h, the recurrent part of n before it is multiplied by r; a plain RNN's record has one: h before edits. Pointers do not alias unless
// a comment says so.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel/edits.h"
#include "kernel/kinds.h"
#include "kernel/precision.h"
#include "threads/plan.h"

namespace hiddenstate {

// The parameters of one layer and direction that reads C features.
template <class Precision>
struct Weights {
    const typename Precision::element *ih, *hh;  // [GH, C], [GH, P]
    const typename Precision::real *b_ih, *b_hh;  // [GH]; each of them may be null
    const typename Precision::element* hr;        // [P, H], or null without a projection
    // In float32, `ih` and `hh` in float16 instead, which are widened while they are packed: only the forward pass can read them.
    const float16 *half_ih = nullptr, *half_hh = nullptr;
    // The weights packed by `pack`, if the caller knows that they have not changed since; if null, the forward pass packs them.
    const void* packed = nullptr;
    const typename Precision::real* packed_bias = nullptr;
};

// One layer and direction of a call: its weights, its edits, and its records.
template <class Precision>
struct LayerDirection {
    using real = typename Precision::real;

    Weights<Precision> weights;
    const Edits<real>* edits;  // or null
    real* gates;      // [T, N, 4H], or null. The gates after edits; zero past a row's end
    real* raw_gates;  // [T, N, 4H], or null. The gates before edits; not written past a row's end
    real* c;          // [T, N, H], or null. The cell states; zero past a row's end
};

// The weights of all layers, packed by `pack` for single steps; see kernel/steps.h.
template <class Precision>
struct Packed {
    const void* weights = nullptr;  // null if not packed
    const typename Precision::real* bias = nullptr;
    typename Precision::element* scratch = nullptr;  // [N, H]
    // The N distinct rows, among the `batch` states, that take the step; null means the first N.
    const std::int64_t* rows = nullptr;
    std::int64_t batch = 0;
    // Whether the first step reads the blocks of weights in reverse order. Steps alternate between the two orders, because the blocks read
    // last by the previous step are still in the cache.
    bool from_last = false;
    // Whether steps follow one another within microseconds. If so, helper threads share the work (threads/helpers.h).
    bool close = false;
};

// The states of rows at borders, or the gradients of those states. For layer and direction k and the border marked at step t of row n, they
// are at first + k * layer + t * step + n * row.
template <class T>
struct BorderStates {
    T* first = nullptr;  // null means zeros or, for gradients, that they are not needed
    bool by_step = false;  // whether each step has its own state; otherwise step is 0, and all borders of a row share one state
    std::int64_t layer = 0, step = 0, row = 0;
};

// A call of a layer. The backward pass reads the same call, with its outputs and records as inputs.
template <class Precision>
struct Call {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* x = nullptr;  // row (t, n) is at x + t * x_step + n * x_row and has C elements; contiguous if packed
    std::int64_t T = 0, N = 0, C = 0, H = 0, P = 0, x_step = 0, x_row = 0;
    std::int64_t directions = 1;
    bool reverse = false;  // for one direction: whether it reads in reverse; of two directions, only the second does
    std::vector<LayerDirection<Precision>> layers;  // one per layer and direction; the reverse direction comes second
    const element* h0 = nullptr;             // [L * D, N, P]; null means zeros, but backward requires it
    const real* c0 = nullptr;                // [L * D, N, H]; null means zeros, but backward requires it
    const std::int64_t* lengths = nullptr;   // [N]; null means that every row has T steps
    const std::uint8_t* reset = nullptr;     // [T, N], or null; nonzero places a border between a step and the one before it
    BorderStates<const element> reset_h;     // the hidden states that rows restart from: P elements
    BorderStates<const real> reset_c;        // the cell states: H elements
    // One [T, N, D * P] array per layer except the last, or empty. The dropout mask that multiplies the layer's output before the next
    // layer.
    std::vector<const element*> dropout_masks;
    // Packed weights allow no projection, second direction, edits, records, lengths, resets or masks.
    Packed<Precision> packed;
    element* out = nullptr;  // [T, N, D * P]; zero past a row's end
    std::vector<element*> layer_outputs;  // one [T, N, D * P] array per layer except the last, or empty if not recorded
    element* h_n = nullptr;  // [L * D, N, P]; may be h0 if packed
    real* c_n = nullptr;     // [L * D, N, H]; may be c0 if packed
    int threads = 1;
    bool relu = false;  // for a plain RNN: relu instead of tanh
    int other_plan = kNoOther;  // forward only; see threads/plan.h
};

// The gradients of one layer and direction: those of its records, which are inputs (null means zeros), and those of its weights, which are
// outputs (null if not needed).
template <class Precision>
struct LayerGradients {
    const typename Precision::real *gates, *c;         // [T, N, 4H], [T, N, H]
    typename Precision::element *ih, *hh, *bias, *hr;  // [GH, C], [GH, P], [GH] (for b_ih, and for b_hh unless it differs), [P, H]
    typename Precision::element* bias_hh = nullptr;    // [GH], if it differs
};

// The gradients of a call: those of its outputs, which are read, and those of its inputs, which are computed. The call must have the
// records of each layer and direction: `c`, and `raw_gates` if it has edits, otherwise `gates`. If the gates are null, the backward pass
// recomputes them.
template <class Precision>
struct Gradients {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* out = nullptr;                    // [T, N, D * P]
    const real *h_n = nullptr, *c_n = nullptr;       // [L * D, N, P], [L * D, N, H]; null means zeros
    std::vector<LayerGradients<Precision>> layers;   // one per layer and direction
    element* x = nullptr;                            // [T, N, C], or null if not needed; zero past a row's end
    real *h0 = nullptr, *c0 = nullptr;               // [L * D, N, P], [L * D, N, H]
    // Must be zero initially, because each border adds its gradient. No two rows may share a gradient, because threads divide rows.
    BorderStates<real> reset_h, reset_c;
};

// One step of a cell, on unpacked weights. States have the element type, as in torch's cells. The step's record has the same values per
// unit as a call's and, with a cell state, tanh(c) after them.
template <class Precision>
struct CellStep {
    using element = typename Precision::element;

    const element *x, *h, *c;                  // [N, C], [N, H], [N, H]; h and c may be null, which means zeros
    const element *ih, *hh, *b_ih, *b_hh;      // [GH, C], [GH, H], [GH], [GH]; a bias may be null
    element *new_h, *new_c;                    // [N, H]
    typename Precision::real* record;          // [N, (record + memory) * H], or null; needed for the derivative
    std::int64_t N, C, H;
    int threads = 1;
    bool from_last = false;                    // starts with the last unit; affects only cache use, not results
    bool relu = false;                         // for a plain RNN: relu instead of tanh
};

// The derivative of such a step. It omits the gradients of the weights, which are products of `d_z` and the inputs.
template <class Precision>
struct CellGradients {
    using element = typename Precision::element;

    const typename Precision::real* record;    // of the step
    const element* memory;                     // [N, H]: c before the step or, without a cell state, h; null means zeros
    const element *ih, *hh;                    // [GH, C], [GH, H]
    const element *d_new_h, *d_new_c;          // [N, H]; null means zeros
    element* d_z;                              // [N, slopes * H]: the gradients of W_ih x + b_ih, then those of W_hh h + b_hh if they differ
    element *d_x, *d_h, *d_c;                  // [N, C], [N, H], [N, H]; d_x and d_h may be null if not needed
    std::int64_t N, C, H;
    int threads = 1;
    bool relu = false;                         // for a plain RNN: relu instead of tanh
};

// The functions compiled for one instruction set and precision. Each scan has its own layout of packed weights, so never use weights packed
// by another scan.
template <class Precision>
struct Scan {
    using element = typename Precision::element;
    using real = typename Precision::real;

    // The kind of cell: its name, the number of gates in W_ih and W_hh, the number of values recorded per unit, whether there is a cell
    // state (otherwise every c is null), whether b_ih and b_hh have separate gradients, and whether calls must specify `relu`.
    const char* cell;
    std::int64_t gates, record;
    bool memory, own_biases, relu;
    const char* isa;
    // The size of a packed layer that reads C features, in bytes, and of its bias, in reals.
    std::int64_t (*packed_bytes)(std::int64_t C, std::int64_t H);
    std::int64_t (*packed_bias_size)(std::int64_t H);
    void (*pack)(const Weights<Precision>& weights, std::int64_t C, std::int64_t H, int threads, void* packed, real* bias);
    // The plan by which the forward pass computes a layer that reads C features.
    Plan (*plan)(std::int64_t N, std::int64_t C, std::int64_t H, int threads, int other);
    void (*forward)(const Call<Precision>&);
    void (*backward)(const Call<Precision>&, const Gradients<Precision>&);
    void (*cell_step)(const CellStep<Precision>&);
    std::int64_t slopes;  // elements of d_z per unit
    void (*cell_gradients)(const CellGradients<Precision>&);
    void (*nonlinearity)(char which, const real* in, real* out, std::int64_t n);  // `which`: 's' for sigmoid, 't' for tanh
    // Convert n numbers of half precision: bfloat16 for bfloat16, float16 for float32, and null for float64.
    void (*widen)(const void* from, real* to, std::int64_t n);
    void (*narrow)(const real* from, void* to, std::int64_t n);
};

// The compiled scans of a kind of cell that this CPU can run, narrowest vectors first.
template <class Precision>
const std::vector<const Scan<Precision>*>& scans(CellKind kind = CellKind::lstm);

// The scans with int8 weights; none for some kinds. Their functions for backward passes, cells and nonlinearities are null.
const std::vector<const Scan<F32>*>& scans_int8(CellKind kind = CellKind::lstm);

}  // namespace hiddenstate
