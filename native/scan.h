// One layer and direction of an LSTM over a sequence, forward and backward; and single steps of all layers.
//
// T time steps, N batch rows, C input features, H units, P numbers of the hidden state (H without a projection). Arrays
// are row-major and lie without gaps unless strides are given (counted in elements); the four gates of a row stand side
// by side in torch's order, 4H numbers. Pointers do not alias one another unless it says so.
#pragma once

#include <cstdint>
#include <vector>

#include "edits.h"
#include "precision.h"

namespace hiddenstate {

// The parameters of one layer and direction that reads C features.
template <class Precision>
struct Weights {
    const typename Precision::element *ih, *hh;  // [4H, C], [4H, P]
    const typename Precision::real *b_ih, *b_hh;  // [4H], or null, each for itself
    const typename Precision::element* hr;        // [P, H], or null: no projection
};

template <class Precision>
struct Forward {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* x;  // row (t, n) at x + t * x_step + n * x_row, C numbers
    Weights<Precision> weights;
    const element* h0;            // [N, P], or null: zeros
    const real* c0;               // [N, H], or null: zeros
    const std::int64_t* lengths;  // [N], or null: every row has T steps
    const std::uint8_t* reset;    // [T, N], or null: nonzero draws a border between a step and the one before it
    const Edits<real>* edits;     // or null
    element* out;    // row (t, n) at out + t * out_step + n * out_row, P numbers; zero past a row's end
    real* gates;    // [T, N, 4H], or null: the gates as they act, so after edits; zero past a row's end
    real* unedited;  // [T, N, 4H], or null: the gates before edits; past a row's end left as it was
    real* c;        // [T, N, H], or null; zero past a row's end
    element* h_n;    // [N, P]
    real* c_n;       // [N, H]
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
};

// A whole LSTM in which nothing is edited or shown; what a gradient needs may be kept.
template <class Precision>
struct Layers {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* x;  // as in Forward
    std::vector<Weights<Precision>> weights;  // of each layer and direction, the reverse one after the other
    const element* h0;             // [L * D, N, P], or null: zeros
    const real* c0;                // [L * D, N, H], or null: zeros
    const std::int64_t* lengths;
    const std::uint8_t* reset;
    // Of each layer but the last [T, N, D * P], or empty: what its output is multiplied with on its way to the next.
    std::vector<const element*> noise;
    element* out;  // [T, N, D * P]
    // What is kept, or empty; zero past a row's end. Separate arrays, as one of all layers can be larger than what the
    // allocator keeps for the next call.
    std::vector<real*> gates, c;     // of each layer and direction [T, N, 4H], [T, N, H]
    std::vector<element*> between;  // of each layer but the last its output [T, N, D * P]
    element* h_n;  // [L * D, N, P]
    real* c_n;     // [L * D, N, H]
    std::int64_t T, N, C, H, P, directions, x_step, x_row;
    int threads;
};

template <class Precision>
struct Backward {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* x;     // as in Forward
    const element *w_ih, *w_hh, *w_hr;  // [4H, C], [4H, P], [P, H] or null: no projection
    const element* h0;    // [N, P]
    const real* c0;       // [N, H]
    const std::int64_t* lengths;
    const std::uint8_t* reset;
    const Edits<real>* edits;
    const element* out;   // from the forward scan; row (t, n) at out + t * out_step + n * out_row, P numbers
    const real* gates;    // [T, N, 4H], from the forward scan: before edits
    const real* c;        // [T, N, H], from the forward scan
    const element* dout;  // laid out as out is
    const real* dh_n;     // [N, P], or null: zeros
    const real* dc_n;     // [N, H], or null: zeros
    const real* dgates;   // [T, N, 4H]: gradient of the gates where they were recorded; or null
    const real* dc;       // [T, N, H]: gradient of the cell states where they were recorded; or null
    element* dx;          // [T, N, C], or null: not asked for; zero past a row's end
    element* dw_ih;       // [4H, C], or null
    element* dw_hh;       // [4H, P], or null
    element* db;          // [4H], or null
    element* dw_hr;       // [P, H], or null
    real* dh0;            // [N, P]
    real* dc0;            // [N, H]
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
};

// Gradients of the weights of one layer and direction; each null where it is not asked for.
template <class Precision>
struct WeightGradients {
    typename Precision::element *ih, *hh, *b, *hr;  // [4H, C], [4H, P], [4H] (of either bias), [P, H]
};

// A whole LSTM backward: as it was forward, with what it kept; h0 and c0 are there, h_n and c_n need not be.
template <class Precision>
struct LayersBackward : Layers<Precision> {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* dout;      // [T, N, D * P]
    const real *dh_n, *dc_n;  // [L * D, N, P], [L * D, N, H]; or null: zeros
    std::vector<const real*> dgates, dc;  // as in Backward, of each layer and direction; or empty
    element* dx;              // [T, N, C], or null: not asked for; zero past a row's end
    std::vector<WeightGradients<Precision>> dweights;  // of each layer and direction
    real *dh0, *dc0;          // [L * D, N, P], [L * D, N, H]
};

// Some steps of all layers, for streams: no projection, no allocation; states are changed in place.
template <class Precision>
struct Steps {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const element* x;  // [T, N, C]
    const void* w;     // of each layer, one after another, as pack_layer packs them
    const real* bias;  // of each layer, one after another, as pack_layer packs them
    element* h;        // [L, N, H], in and out
    real* c;           // [L, N, H], in and out
    element* next;     // [N, H], scratch
    element* out;      // [T, N, H]
    std::int64_t T, N, C, H, L;
    int threads;
};

// The scan compiled for one instruction set and precision. Packed weights are of its layout: never mix them.
template <class Precision>
struct Scan {
    using element = typename Precision::element;
    using real = typename Precision::real;

    const char* isa;
    // For steps: bytes and reals that a packed layer which reads C features takes, and its biases.
    std::int64_t (*layer_bytes)(std::int64_t C, std::int64_t H);
    std::int64_t (*bias_size)(std::int64_t H);
    void (*pack_layer)(const Weights<Precision>& weights, std::int64_t C, std::int64_t H, int threads, void* packed,
                       real* bias);
    // Whether threads of a scan share out the units, and wait for one another at every step.
    bool (*shares_units)(std::int64_t N, std::int64_t H, int threads);
    void (*forward)(const Forward<Precision>&);
    void (*layers)(const Layers<Precision>&);
    void (*backward)(const Backward<Precision>&);
    void (*layers_backward)(const LayersBackward<Precision>&);
    void (*steps)(const Steps<Precision>&);
    void (*nonlinearity)(char which, const real* in, real* out, std::int64_t n);  // 's' sigmoid, 't' tanh
};

// The scans that were compiled in and that this CPU runs, narrowest first.
template <class Precision>
const std::vector<const Scan<Precision>*>& scans();

}  // namespace hiddenstate
