// Threads for the kernel: each has its floating-point mode and its matrix registers set up.
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

// Subnormal numbers count as zero while this lives: the slow path that they would take gains nothing an LSTM could use.
class FlushSubnormals {
public:
#if defined(__x86_64__)
    FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // results, and operands
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

struct ThreadSetup {
    FlushSubnormals flush;
    MatrixRegisters registers;
};

// run_parallel_with, for the kernel.
template <class Body>
bool run_parallel(int threads, bool together, const Body& body) {
    return run_parallel_with<ThreadSetup>(threads, together, body);
}

// Runs independent jobs side by side: a Team runs the job of one of `states` on its part of the threads. If the threads can't be
// divided evenly, the jobs run one after another, each on all threads.
template <class Team, class State>
void run_teams(const std::vector<const State*>& states, int threads) {
    const int count = static_cast<int>(states.size()), each = std::max(threads, 1) / count;
    const auto one_by_one = [&](int threads) {
        for (const State* state : states) run_teams<Team, State>({state}, threads);
    };
    if (count > 1 && each * count != threads) return one_by_one(threads);
    std::vector<std::unique_ptr<Team>> teams;
    int all = 0;
    bool together = false;
    for (const State* state : states) {
        teams.push_back(std::make_unique<Team>(*state, each));
        all += teams.back()->threads(), together = together || teams.back()->together();
    }
    const bool done = run_parallel(all, together, [&](int k) {
        auto team = teams.begin();
        for (; k >= (*team)->threads(); ++team) k -= (*team)->threads();
        (*team)->run(k);
    });
    if (!done) one_by_one(1);
}

}  // namespace
}  // namespace hiddenstate
