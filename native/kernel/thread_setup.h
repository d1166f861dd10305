// Runs the kernel's threads, after setting up the floating-point mode and the matrix registers of each.
#pragma once

#include <memory>
#include <vector>

#include "kernel/matrix.h"
#include "threads/parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hiddenstate {
namespace {

// Treats subnormal numbers as zero while it lives: they slow CPUs down many times over, and an LSTM does not need them.
class FlushSubnormals {
public:
#if defined(__x86_64__)
    FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // FTZ (results) and DAZ (operands)
    ~FlushSubnormals() { _mm_setcsr(before_); }

private:
    unsigned before_;
#elif defined(__aarch64__)
    FlushSubnormals() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
        __asm__ volatile("msr fpcr, %0" ::"r"(before_ | (std::uint64_t{1} << 24)));
    }
    ~FlushSubnormals() { __asm__ volatile("msr fpcr, %0" ::"r"(before_)); }

private:
    std::uint64_t before_;
#endif
};

// Constructed by each thread before it runs a part of the kernel.
struct ThreadSetup {
    FlushSubnormals flush;
    MatrixRegisters registers;
};

// run_on_threads, with the kernel's ThreadSetup.
template <class Body>
bool run_parallel(int threads, bool together, const Body& body) {
    const auto run = [](const void* context, int k) {
        const ThreadSetup setup;
        (*static_cast<const Body*>(context))(k);
    };
    return run_on_threads(threads, together, run, &body);
}

// Runs independent jobs concurrently: each Group runs the job of one of `states` on its share of the threads. If the threads can't be
// divided evenly, the jobs run one after another, each on all threads.
template <class Group, class State>
void run_groups(const std::vector<const State*>& states, int threads) {
    const int count = static_cast<int>(states.size()), each = std::max(threads, 1) / count;
    const auto one_by_one = [&](int threads) {
        for (const State* state : states) run_groups<Group, State>({state}, threads);
    };
    if (count > 1 && each * count != threads) return one_by_one(threads);
    std::vector<std::unique_ptr<Group>> groups;
    int all = 0;
    bool together = false;
    for (const State* state : states) {
        groups.push_back(std::make_unique<Group>(*state, each));
        all += groups.back()->threads(), together = together || groups.back()->together();
    }
    const bool done = run_parallel(all, together, [&](int k) {
        // Thread k belongs to the group whose range contains k.
        auto group = groups.begin();
        for (; k >= (*group)->threads(); ++group) k -= (*group)->threads();
        (*group)->run(k);
    });
    if (!done) one_by_one(1);  // there are too few threads for a barrier
}

}  // namespace
}  // namespace hiddenstate
