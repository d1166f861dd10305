// Threads that use one stream at the same time: `two_threads MODEL`. Each call must run as if it were the only one, or be refused with
// HS_ARGUMENT. Every step reads the same numbers, so the states must be those of as many steps in one thread.
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "hiddenstate.h"

namespace {

constexpr int kThreads = 4, kRounds = 2000, kRows = 3;

struct States {
    std::vector<float> h, c;
    explicit States(const hs_sizes& sizes)
        : h(static_cast<std::size_t>(sizes.layers * kRows * sizes.output_size)), c(static_cast<std::size_t>(sizes.layers * kRows * sizes.hidden_size)) {}
};

}  // namespace

int main(int, char** arguments) {
    hs_model* model;
    hs_stream *shared, *alone;
    if (hs_model_load(arguments[1], &model, nullptr) != HS_OK) return 2;
    if (hs_stream_new(model, kRows, &shared, nullptr) != HS_OK || hs_stream_new(model, kRows, &alone, nullptr) != HS_OK) return 2;
    const hs_sizes sizes = hs_model_sizes(model);
    const std::vector<float> x(static_cast<std::size_t>(2 * kRows * sizes.input_size), 0.5F);
    std::atomic<int> steps{0}, refused{0}, wrong{0};
    const auto use = [&](int thread) {
        std::vector<float> out(static_cast<std::size_t>(2 * kRows * sizes.output_size));
        const std::int64_t rows[] = {2, 0, 1};
        States states(sizes);
        for (int k = 0; k < kRounds; ++k) {
            const int way = (k + thread) % 4;
            const hs_status status = way == 0   ? hs_stream_step(shared, x.data(), out.data())
                                     : way == 1 ? hs_stream_step_rows(shared, rows, kRows, x.data(), out.data())
                                     : way == 2 ? hs_stream_feed(shared, 2, x.data(), out.data(), nullptr)
                                                : hs_stream_get_state(shared, states.h.data(), states.c.data());
            if (status == HS_OK) steps += way == 3 ? 0 : way == 2 ? 2 : 1;
            if (status == HS_ARGUMENT) ++refused;
            if (status != HS_OK && status != HS_ARGUMENT) ++wrong;
        }
    };
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(use, thread);
    for (std::thread& thread : threads) thread.join();
    std::vector<float> out(static_cast<std::size_t>(kRows * sizes.output_size));
    for (int k = 0; k < steps; ++k) hs_stream_step(alone, x.data(), out.data());
    States together(sizes), one_by_one(sizes);
    if (hs_stream_get_state(shared, together.h.data(), together.c.data()) != HS_OK) return 1;
    hs_stream_get_state(alone, one_by_one.h.data(), one_by_one.c.data());
    const bool equal = together.h == one_by_one.h && together.c == one_by_one.c;
    std::printf("%d steps, %d refused, %d other errors, states %s\n", steps.load(), refused.load(), wrong.load(), equal ? "equal" : "differ");
    hs_stream_free(shared), hs_stream_free(alone), hs_model_free(model);
    return equal && !wrong ? 0 : 1;
}
