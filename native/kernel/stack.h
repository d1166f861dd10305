// Runs a whole call forward: a stack of layers with one or two directions each.
#pragma once

#include "kernel/forward.h"
#include "kernel/scan.h"
#include "kernel/stages.h"
#include "kernel/steps.h"

namespace hiddenstate {
namespace {

using WholeCall = Call<HIDDENSTATE_PRECISION>;

// The input of a layer: the call's input, or the output of the layer below.
struct LayerInput {
    const element* x;
    std::int64_t features, step, row;
};

// Computes to = function(a, b), element by element; `to` may be a or b.
template <class Function>
void combine(const element* a, const element* b, std::int64_t count, int threads, element* to, const Function& function) {
    run_parallel(threads, false, [&](int k) {
        const Range mine = part(blocks(count, kLanes), k, threads);
        for (std::int64_t i = mine.first * kLanes; i < std::min(mine.last * kLanes, count); i += kLanes) {
            const std::int64_t left = count - i;
            store(to + i, function(load(a + i, left), load(b + i, left)), left);
        }
    });
}

// Multiplies by a dropout mask.
inline void drop(const element* from, const element* mask, std::int64_t count, int threads, element* to) {
    combine(from, mask, count, threads, to, [](vf a, vf b) { return a * b; });
}

// Whether the k-th layer and direction reads from the last step to the first.
inline bool reads_in_reverse(const WholeCall& call, std::int64_t k) {
    return call.directions == 1 ? call.reverse : k % 2 == 1;
}

// The states of the k-th layer and direction.
template <class T>
BorderStates<T> of_layer(BorderStates<T> states, std::int64_t k) {
    if (states.first) states.first += k * states.layer;
    return states;
}

// The size in bytes of the records and, if there are any, of the gradients of the weights, which are then likely to be computed.
inline std::size_t bytes_of_records(const WholeCall& call) {
    std::int64_t bytes = 0;
    for (std::size_t k = 0; k < call.layers.size(); ++k) {
        const auto& layer = call.layers[k];
        const std::int64_t gates = (layer.gates ? kRecord : 0) + (layer.raw_gates ? kRecord : 0);
        if (gates == 0 && !layer.c) continue;
        const std::int64_t features = static_cast<std::int64_t>(k) < call.directions ? call.C : call.directions * call.P;
        bytes += call.T * call.N * (gates + kMemory) * call.H * static_cast<std::int64_t>(sizeof(real));
        bytes += kGates * call.H * (features + call.P) * static_cast<std::int64_t>(sizeof(element));
    }
    return static_cast<std::size_t>(bytes);
}

// The job of the k-th layer and direction, which writes its part of the layer's output.
inline LayerForward layer_forward(const WholeCall& call, std::int64_t k, const LayerInput& input, element* layer_out) {
    const std::int64_t D = call.directions, N = call.N, P = call.P, H = call.H, row = k * N;
    return {input.x, call.layers[static_cast<std::size_t>(k)], call.h0 ? call.h0 + row * P : nullptr,
            call.c0 ? call.c0 + row * H : nullptr, call.lengths, call.reset, of_layer(call.reset_h, k), of_layer(call.reset_c, k),
            layer_out + k % D * P, call.h_n + row * P, kMemory ? call.c_n + row * H : nullptr, call.T, N, input.features, H, P, input.step,
            input.row, N * D * P, D * P, reads_in_reverse(call, k), call.threads, bytes_of_records(call) > kRecordsInCache, call.relu, call.other_plan};
}

// Whether each layer and direction runs on its own thread.
inline bool has_stages(const WholeCall& call) {
    return call.threads > 1 && runs_in_stages(call.N, call.H, static_cast<std::int64_t>(call.layers.size()), call.directions);
}

// Runs layers of one direction concurrently. Returns false without running anything if there are too few threads.
inline bool forward_pipeline(const WholeCall& call) {
    const auto count = static_cast<std::int64_t>(call.layers.size());
    const std::int64_t all = call.T * call.N * call.P;
    const Buffer<element> between(call.layer_outputs.empty() ? (count - 1) * all : 0);
    std::vector<LayerForward> jobs;
    LayerInput input{call.x, call.C, call.x_step, call.x_row};
    for (std::int64_t k = 0; k < count; ++k) {
        const auto layer = static_cast<std::size_t>(k);
        element* out = k + 1 == count              ? call.out
                       : call.layer_outputs.empty() ? between.data() + k * all
                                                    : call.layer_outputs[layer];
        jobs.push_back(layer_forward(call, k, input, out));
        input = {out, call.P, call.N * call.P, call.P};
    }
    return run_pipeline(jobs, call.threads);
}

// Runs the layers one after another.
inline void forward_in_order(const WholeCall& call) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size()), D = call.directions, width = D * call.P;
    const std::int64_t all = call.T * call.N * width;
    // Without records, every layer except the last writes to one of two buffers and reads from the other.
    const bool records = !call.layer_outputs.empty(), drops = !call.dropout_masks.empty();
    const std::int64_t inner = count > D && !records ? all : 0;
    const Buffer<element> buffers[2] = {Buffer<element>(inner), Buffer<element>(count > 2 * D ? inner : 0)};
    const Buffer<element> dropped(drops && records ? all : 0);
    LayerInput input{call.x, call.C, call.x_step, call.x_row};
    for (std::int64_t k = 0; k < count; k += D) {
        const std::size_t layer = static_cast<std::size_t>(k / D);
        const bool last = k + D == count;
        element* out = last ? call.out : records ? call.layer_outputs[layer] : buffers[layer % 2].data();
        std::vector<LayerForward> jobs;
        for (std::int64_t direction = 0; direction < D; ++direction) {
            jobs.push_back(layer_forward(call, k + direction, input, out));
        }
        if (D > 1 && has_stages(call)) {
            run_apart(jobs, call.threads);
        } else {
            for (const LayerForward& job : jobs) forward_layer(job);
        }
        input = {out, width, call.N * width, width};
        if (last || !drops) continue;
        element* next = records ? dropped.data() : out;  // the record keeps the output before dropout
        drop(out, call.dropout_masks[layer], all, call.threads, next);
        input.x = next;
    }
}

inline void forward_layers(const WholeCall& call) {
    keep_freed_memory(bytes_of_records(call));
    const bool pipes = call.directions == 1 && call.dropout_masks.empty() && has_stages(call);
    if (!pipes || !forward_pipeline(call)) forward_in_order(call);
}

inline void forward(const WholeCall& call) {
    if (call.packed.weights) {
        steps(call);
    } else {
        forward_layers(call);
    }
}

}  // namespace
}  // namespace hiddenstate
