// Which steps a row has, in which order they are read, and how rows are shared among threads.
#pragma once

#include <vector>

#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

template <class Job>
struct Order {
    const Job& job;

    std::int64_t step(std::int64_t k) const { return job.reverse ? job.T - 1 - k : k; }

    std::int64_t steps(std::int64_t n) const { return job.lengths ? job.lengths[n] : job.T; }

    bool live(std::int64_t t, std::int64_t n) const { return t < steps(n); }

    // A border cuts the row off from the step read before: the state that comes into step t is zero.
    bool cut(std::int64_t t, std::int64_t n) const {
        if (!job.reset) return false;
        const std::int64_t border = job.reverse ? t + 1 : t;
        return border < job.T && live(border, n) && job.reset[border * job.N + n];
    }
};

// Numbers that a row takes where tiles read it.
inline std::int64_t width(std::int64_t K) { return kMatrices ? 2 * depth(K) : K; }

// Makes rows what matrix registers read best, once for all blocks of weights: evenly spaced, and filled up with zeros.
// Elsewhere rows may lie anywhere.
class EvenRows {
public:
    // Leads the pointers to copies where that is needed.
    void take(const element** rows, std::int64_t count, std::int64_t K) {
#ifdef __AMX_BF16__
        const std::int64_t step = width(K);
        if (step == K && evenly_spaced(rows, count)) return;
        copies_.resize(static_cast<std::size_t>(std::max<std::int64_t>(count * step, static_cast<std::int64_t>(copies_.size()))));
        for (std::int64_t r = 0; r < count; ++r) {
            element* copy = copies_.data() + r * step;
            std::fill(std::copy_n(rows[r], K, copy), copy + step, element{});
            rows[r] = copy;
        }
#else
        (void)rows, (void)count, (void)K;
#endif
    }

private:
    std::vector<element> copies_;
};

// Fewer rows a thread than these do not fill its tiles well.
constexpr std::int64_t kShareRows = 2 * kRows;

// Whether threads share out the units, and not the rows.
inline bool shares_units(std::int64_t N, std::int64_t H, int threads) {
    return threads > 1 && N < kShareRows * threads && blocks(H, kLanes) >= threads;
}

// The k-th part of so many numbers, in whole vectors.
inline Range vectors(std::int64_t count, int k, int threads) {
    const Range mine = part(blocks(count, kLanes), k, threads);
    return {std::min(mine.first * kLanes, count), std::min(mine.last * kLanes, count)};
}

// How a job is shared. Rows never meet, so threads that have rows of their own never wait for one another; but each
// reads all weights. Threads that share out the units read each its own, and wait for one another at every step.
struct Partition {
    bool together;  // units are shared: all threads are at the same step
    std::vector<Range> rows, units, hidden;  // of each thread; `hidden` are numbers of the hidden state

    // Among `threads` at most.
    template <class Job>
    Partition(const Job& job, int threads) {
        together = shares_units(job.N, job.H, threads);
        if (!together) {
            share_rows(job, static_cast<int>(std::min<std::int64_t>(threads, std::max<std::int64_t>(job.N, 1))));
            units.assign(rows.size(), {0, job.H});
            hidden.assign(rows.size(), {0, job.P});
        }
        for (int k = 0; together && k < threads; ++k) {
            rows.push_back({0, job.N});
            units.push_back(vectors(job.H, k, threads));
            hidden.push_back(vectors(job.P, k, threads));
        }
    }

    int threads() const { return static_cast<int>(rows.size()); }

private:
    // As equal a number of steps to each thread as can be.
    template <class Job>
    void share_rows(const Job& job, int threads) {
        const Order<Job> order{job};
        std::int64_t total = 0, done = 0, first = 0;
        for (std::int64_t n = 0; n < job.N; ++n) total += order.steps(n);
        for (int k = 1; k <= threads; ++k) {
            std::int64_t last = first;
            while (last < job.N && (k == threads || done + order.steps(last) / 2 < k * total / threads)) {
                done += order.steps(last++);
            }
            rows.push_back({first, last});
            first = last;
        }
    }
};

}  // namespace
}  // namespace hiddenstate
