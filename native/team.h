// Threads that share a scan: each has some of the rows, or all of them and some of the units.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "fork.h"
#include "matrix.h"
#include "vec.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hiddenstate {
namespace {

// Where all threads of a team wait for the last of them: briefly awake, since the others are as far within a
// microsecond; then asleep, since something else must be running on a core, and whoever has slept is let in first.
class Barrier {
public:
    void wait(int threads) {
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
            waiting_.store(0, std::memory_order_relaxed);
            round_.store(round + 1);
            if (asleep_.load() > 0) wake();
            return;
        }
        for (int spins = 0; spins < kSpins; ++spins) {
            if (round_.load(std::memory_order_acquire) != round) return;
            pause();
        }
        sleep(round);
    }

private:
    static constexpr int kSpins = 2000;  // some 20 microseconds

    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }

    // The order of round_ and asleep_ here and in wait() is such that either this sees the new round, or wait() sees
    // this asleep.
    void sleep(unsigned round) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        awake_.wait(lock, [&] { return round_.load() != round; });
        --asleep_;
    }

    void wake() {
        const std::lock_guard<std::mutex> lock(mutex_);
        awake_.notify_all();
    }

    alignas(64) std::atomic<int> waiting_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    std::atomic<int> asleep_{0};
    std::mutex mutex_;
    std::condition_variable awake_;
};

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

// Runs body(k) for k = 0 ... threads - 1, each on a thread of its own if `together`: the bodies may then wait for one
// another. Where so many threads are not to be had, runs nothing and returns false: inside another parallel region, say,
// or in a forked process. Bodies must not throw.
//
// Whoever is done waits for the others at a barrier of our own: at OpenMP's it would be awake for milliseconds, on a core that
// the others may need where something else is running.
template <class Body>
bool run_team(int threads, bool together, const Body& body) {
    const auto run = [&body](int first, int step, int threads) {
        const FlushSubnormals flush;
        const MatrixRegisters registers;
        for (int k = first; k < threads; k += step) body(k);
    };
#ifdef _OPENMP
    if (threads > 1 && !forked()) {
        bool enough = true;
        Barrier done;
#pragma omp parallel num_threads(threads)
        {
            const int found = omp_get_num_threads();
            if (together && found < threads) {
#pragma omp single
                enough = false;
            } else {
                run(omp_get_thread_num(), found, threads);
                done.wait(found);
            }
        }
        return enough;
    }
#endif
    if (together && threads > 1) return false;
    run(0, 1, threads);
    return true;
}

// Does all of `states`, which have nothing to do with one another, side by side: a Team does one, on its part of the threads.
// Where these can't be parted evenly, one after another, each on all of them.
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
    const bool done = run_team(all, together, [&](int k) {
        auto team = teams.begin();
        for (; k >= (*team)->threads(); ++team) k -= (*team)->threads();
        (*team)->run(k);
    });
    if (!done) one_by_one(1);
}

// Memory for `count` numbers, aligned to cache lines and not filled.
template <class T>
class Buffer {
public:
    explicit Buffer(std::int64_t count)
        : at_(static_cast<T*>(::operator new(static_cast<std::size_t>(count) * sizeof(T), kAlignment))) {}
    ~Buffer() { ::operator delete(at_, kAlignment); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() const { return at_; }

private:
    static constexpr std::align_val_t kAlignment{64};

    T* at_;
};

// A part of 0 ... count.
struct Range {
    std::int64_t first, last;

    std::int64_t size() const { return last - first; }
};

inline Range part(std::int64_t count, int k, int n) { return {k * count / n, (k + 1) * count / n}; }

}  // namespace
}  // namespace hiddenstate
