// Threads that use one stream of a layer or whole model at the same time: `two_threads MODEL`. Each call must run as if it were the only one, or
// be refused with HS_ARGUMENT. Every step reads the same numbers, so the states must be those of as many steps in one thread.
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hiddenstate.h"

namespace {

constexpr int kThreads = 4, kRounds = 2000, kRows = 3;
const std::int64_t kOrder[] = {2, 0, 1};

using Numbers = std::vector<float>;

Numbers numbers(std::int64_t count) { return Numbers(static_cast<std::size_t>(count), 0.5F); }

struct Stream {
    std::function<hs_status(int)> use;              // 0: takes a step, 1: takes a step of rows in another order, 2: takes two steps
    std::function<hs_status(Numbers* states)> read;
};

Stream layer_stream(const char* path) {
    hs_model* model;
    hs_stream* made;
    if (hs_model_load(path, &model, nullptr) != HS_OK || hs_stream_new(model, kRows, &made, nullptr) != HS_OK) return {};
    const std::shared_ptr<hs_stream> stream(made, hs_stream_free);
    const hs_sizes sizes = hs_model_sizes(model);
    hs_model_free(model);
    const auto use = [stream, sizes](int way) {
        const Numbers x = numbers(2 * kRows * sizes.input_size);
        Numbers out = numbers(2 * kRows * sizes.output_size);
        return way == 0   ? hs_stream_step(stream.get(), x.data(), out.data())
               : way == 1 ? hs_stream_step_rows(stream.get(), kOrder, kRows, x.data(), out.data())
                          : hs_stream_feed(stream.get(), 2, x.data(), out.data(), nullptr);
    };
    const auto read = [stream, sizes](Numbers* states) {
        const std::int64_t of_h = sizes.layers * kRows * sizes.output_size;
        *states = numbers(of_h + sizes.layers * kRows * sizes.hidden_size);
        return hs_stream_get_state(stream.get(), states->data(), states->data() + of_h);
    };
    return {use, read};
}

// Of a model with one input and one output, of floats.
Stream graph_stream(const char* path) {
    hs_graph* graph;
    hs_graph_stream* made;
    hs_array input, output;
    if (hs_graph_load(path, &graph, nullptr) != HS_OK || hs_graph_stream_new(graph, kRows, &made, nullptr) != HS_OK) return {};
    if (hs_graph_input(graph, 0, &input) != HS_OK || hs_graph_output(graph, 0, &output) != HS_OK) return {};
    const std::shared_ptr<hs_graph_stream> stream(made, hs_graph_stream_free);
    hs_graph_free(graph);
    const auto use = [stream, input, output](int way) {
        const Numbers x = numbers(hs_array_size(&input, 2, kRows));
        Numbers out = numbers(hs_array_size(&output, 2, kRows));
        const void* const from[] = {x.data()};
        float* const to[] = {out.data()};
        hs_error error;
        const hs_status status = way == 2 ? hs_graph_stream_feed(stream.get(), 2, from, to, &error)
                                          : hs_graph_stream_step(stream.get(), way == 1 ? kOrder : nullptr, kRows, from, to, &error);
        const std::string call = way == 2 ? "hs_graph_stream_feed: " : "hs_graph_stream_step: ";
        return status == HS_ARGUMENT && std::string(error.message).rfind(call, 0) != 0 ? HS_MEMORY : status;
    };
    const auto read = [stream](Numbers* states) {
        const std::int64_t size = hs_graph_stream_state_size(stream.get());
        *states = numbers(kRows * size);
        hs_status status = HS_OK;
        for (int row = 0; row < kRows && status == HS_OK; ++row) status = hs_graph_stream_get_state(stream.get(), row, states->data() + row * size);
        return status;
    };
    return {use, read};
}

}  // namespace

int main(int, char** arguments) {
    const auto stream = [&] {
        const Stream layer = layer_stream(arguments[1]);
        return layer.use ? layer : graph_stream(arguments[1]);
    };
    const Stream shared = stream(), alone = stream();
    if (!alone.use) return 2;
    std::atomic<int> steps{0}, refused{0}, wrong{0};
    const auto use = [&](int thread) {
        Numbers states;
        for (int k = 0; k < kRounds; ++k) {
            const int way = (k + thread) % 4;
            const hs_status status = way == 3 ? shared.read(&states) : shared.use(way);
            if (status == HS_OK) steps += way == 3 ? 0 : way == 2 ? 2 : 1;
            if (status == HS_ARGUMENT) ++refused;
            if (status != HS_OK && status != HS_ARGUMENT) ++wrong;
        }
    };
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(use, thread);
    for (std::thread& thread : threads) thread.join();
    for (int k = 0; k < steps; ++k) alone.use(0);
    Numbers together, one_by_one;
    if (shared.read(&together) != HS_OK || alone.read(&one_by_one) != HS_OK) return 1;
    const bool equal = together == one_by_one;
    std::printf("%d steps, %d refused, %d other errors, states %s\n", steps.load(), refused.load(), wrong.load(), equal ? "equal" : "differ");
    return equal && !wrong ? 0 : 1;
}
