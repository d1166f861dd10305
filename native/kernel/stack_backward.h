// Runs a whole call backward.
#pragma once

#include "kernel/backward.h"
#include "kernel/stack.h"

namespace hiddenstate {
namespace {

using WholeGradients = Gradients<HIDDENSTATE_PRECISION>;

// The job of the k-th layer and direction, which reads its part of the gradient of the layer's output and writes the gradient of its input
// to `dx`.
inline LayerBackward layer_backward(const WholeCall& call, const WholeGradients& gradients, std::int64_t k, const LayerInput& input,
                                    const element* layer_out, const element* dout, element* dx) {
    const std::int64_t D = call.directions, N = call.N, P = call.P, H = call.H, row = k * N, side = k % D * P;
    const auto& self = call.layers[static_cast<std::size_t>(k)];
    return {input.x, self, gradients.layers[static_cast<std::size_t>(k)], self.raw_gates ? self.raw_gates : self.gates,
            call.h0 + row * P, kMemory ? call.c0 + row * H : nullptr, call.lengths, call.reset, of_layer(call.reset_h, k), of_layer(call.reset_c, k),
            layer_out + side, dout + side,
            gradients.h_n ? gradients.h_n + row * P : nullptr, gradients.c_n ? gradients.c_n + row * H : nullptr, dx,
            gradients.h0 + row * P, kMemory ? gradients.c0 + row * H : nullptr, of_layer(gradients.reset_h, k), of_layer(gradients.reset_c, k), call.T,
            N, input.features, H, P, input.step, input.row, N * D * P, D * P, reads_in_reverse(call, k), call.threads, call.relu};
}

inline void backward(const WholeCall& call, const WholeGradients& gradients) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size()), D = call.directions, width = D * call.P;
    const std::int64_t rows = call.T * call.N, all = rows * width;
    const bool drops = !call.dropout_masks.empty();
    // The gradients of the inputs of all layers except the first: one buffer is read while the other is written.
    const Buffer<element> buffers[2] = {Buffer<element>(count > D ? all : 0), Buffer<element>(count > 2 * D ? all : 0)};
    const Buffer<element> dropped(drops ? all : 0);
    // The reverse direction writes to a separate buffer, because both directions run concurrently. The buffer is added afterwards.
    const std::int64_t widest = std::max(count > D ? width : 0, gradients.x ? call.C : 0);
    const Buffer<element> reverse_dx(D > 1 ? rows * widest : 0);
    const element* dout = gradients.out;
    for (std::int64_t first = count - D; first >= 0; first -= D) {
        const std::size_t layer = static_cast<std::size_t>(first / D);
        LayerInput input{call.x, call.C, call.x_step, call.x_row};
        if (layer > 0) {
            const element* below = call.layer_outputs[layer - 1];
            // The layer read the output after dropout, which was not recorded.
            if (drops) drop(below, call.dropout_masks[layer - 1], all, call.threads, dropped.data());
            input = {drops ? dropped.data() : below, width, call.N * width, width};
        }
        element* dx = layer > 0 ? buffers[(layer - 1) % 2].data() : gradients.x;
        const element* out = first + D == count ? call.out : call.layer_outputs[layer];
        std::vector<LayerBackward> jobs;
        for (std::int64_t k = 0; k < D; ++k) {
            jobs.push_back(layer_backward(call, gradients, first + k, input, out, dout, k == 0 || !dx ? dx : reverse_dx.data()));
        }
        backward_layers(jobs);
        if (D > 1 && dx) {
            combine(dx, reverse_dx.data(), rows * input.features, call.threads, dx, [](vf a, vf b) { return a + b; });
        }
        if (layer > 0 && drops) drop(dx, call.dropout_masks[layer - 1], all, call.threads, dx);
        dout = dx;
    }
}

}  // namespace
}  // namespace hiddenstate
