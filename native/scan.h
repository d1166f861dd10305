// The serial part of an LSTM layer: one direction over a sequence, forward and backward, in float32.
//
// What is not serial in time stays outside: the input's projection before the forward scan, and the gradients of the
// weights and the input after the backward scan, are single large matrix products.
//
// All arrays are row-major, T time steps, N batch rows, H units; the four gates of a row stand side by side in torch's
// order, 4H numbers. Pointers do not alias one another unless it says so.
#pragma once

#include <cstdint>
#include <vector>

namespace hiddenstate {

struct Forward {
    // xg [T, N, 4H], in: W_ih x + both biases. Out, if keep_gates: the gates i f g o. Else left as it was.
    float* xg;
    const float* w;              // W_hh, as pack_forward packs it
    const float* h0;             // [N, H]
    const float* c0;             // [N, H]
    const std::int64_t* lengths;  // [N], or null: every row has T steps
    const std::uint8_t* reset;    // [T, N], or null: nonzero draws a border between a step and the one before it
    float* out;                  // row (t, n) at out + (t * N + n) * out_stride, H numbers; zero past a row's end
    float* c;                    // [T, N, H], or null; past a row's end left as it was
    float* h_n;                  // [N, H]
    float* c_n;                  // [N, H]
    std::int64_t T, N, H, out_stride;
    bool reverse, keep_gates;
    int threads;
};

struct Backward {
    const float* dout;   // row (t, n) at dout + (t * N + n) * dout_stride, H numbers
    const float* dh_n;   // [N, H]
    const float* dc_n;   // [N, H]
    const float* dgates;  // [T, N, 4H]: gradient of the gates where they were recorded; or null
    const float* dc;      // [T, N, H]: gradient of the cell states where they were recorded; or null
    const float* gates;  // [T, N, 4H], from the forward scan
    const float* c;      // [T, N, H], from the forward scan
    const float* c0;     // [N, H]
    const float* w;      // W_hh, as pack_backward packs it
    const std::int64_t* lengths;
    const std::uint8_t* reset;
    float* dg;   // [T, N, 4H]: gradient of the pre-activations; zero past a row's end
    float* dh0;  // [N, H]
    float* dc0;  // [N, H]
    std::int64_t T, N, H, dout_stride;
    bool reverse;
    int threads;
};

// Some steps of all layers, for streams: no projection ahead, no allocation; states are changed in place.
struct Steps {
    const float* x;     // [T, N, C]
    const float* w;     // for each layer: W_ih and W_hh side by side, as pack_layer packs them
    const float* bias;  // for each layer: [padded_units * 4], as pack_layer packs it
    float* h;           // [L, N, H], in and out
    float* c;           // [L, N, H], in and out
    float* next;        // [N, H], scratch
    float* out;         // [T, N, H]
    std::int64_t T, N, C, H, L;
};

// The scan compiled for one instruction set. Packed weights are of that set's layout: never mix them.
struct Scan {
    const char* isa;
    std::int64_t (*packed_size)(std::int64_t H);  // floats that each packed form of W_hh takes
    void (*pack_forward)(const float* w_hh, std::int64_t H, float* packed);   // w_hh [4H, H]
    void (*pack_backward)(const float* w_hh, std::int64_t H, float* packed);
    void (*forward)(const Forward&);
    void (*backward)(const Backward&);
    std::int64_t (*layer_size)(std::int64_t K, std::int64_t H);  // floats of one packed layer that reads K features
    std::int64_t (*bias_size)(std::int64_t H);
    // w_ih [4H, K], w_hh [4H, H], biases [4H] or null.
    void (*pack_layer)(const float* w_ih, const float* w_hh, const float* b_ih, const float* b_hh, std::int64_t K,
                       std::int64_t H, float* packed, float* bias);
    void (*steps)(const Steps&);
    void (*nonlinearity)(char which, const float* in, float* out, std::int64_t n);  // 's' sigmoid, 't' tanh
};

// The scans that were compiled in and that this CPU runs, narrowest first.
const std::vector<const Scan*>& scans();

}  // namespace hiddenstate
