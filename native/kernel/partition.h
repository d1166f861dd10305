// The steps of each row, their reading order, and how a job is divided among threads.
#pragma once

#include <memory>
#include <vector>

#include "kernel/scan.h"
#include "kernel/thread_setup.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// The order in which the steps of a job's rows are read.
template <class Job>
struct Order {
    const Job& job;

    // The k-th step in reading order.
    std::int64_t step(std::int64_t k) const { return job.reverse ? job.T - 1 - k : k; }

    std::int64_t steps(std::int64_t n) const { return job.lengths ? job.lengths[n] : job.T; }

    bool live(std::int64_t t, std::int64_t n) const { return t < steps(n); }

    // The step that is read before step t; -1 or T if there is none.
    std::int64_t before(std::int64_t t) const { return job.reverse ? t + 1 : t - 1; }

    // Whether step t is the first step that row n reads, and so starts from the initial state.
    bool is_first(std::int64_t t, std::int64_t n) const {
        const std::int64_t earlier = before(t);
        return earlier < 0 || earlier >= job.T || !live(earlier, n);
    }

    // The step at which a border between step t and the step read before it is marked: the later of the two in time, which in reverse is
    // the one read first.
    std::int64_t border(std::int64_t t) const { return job.reverse ? t + 1 : t; }

    // Whether there is such a border. If so, the state before step t is the border's (reset_h, reset_c), or zero.
    bool cut(std::int64_t t, std::int64_t n) const {
        if (!job.reset) return false;
        const std::int64_t at = border(t);
        return at < job.T && live(at, n) && job.reset[at * job.N + n];
    }
};

// A state at the border that is marked at step t of row n.
template <class T>
T* at_border(const BorderStates<T>& states, std::int64_t t, std::int64_t n) {
    return states.first + t * states.step + n * states.row;
}

// The number of elements of a row that tiles read.
inline std::int64_t width(std::int64_t K) { return kMatrices && kPairs ? 2 * depth(K) : K; }

// The size of a row in the form that tiles read, and the conversion to that form. `matrices` means that the tiles use matrix registers.
#if defined(HIDDENSTATE_INT8)
inline std::int64_t row_size(std::int64_t K) { return lanes_of_row(K); }
inline void copy_row(const real* from, std::int64_t K, bool matrices, real* to) { round_row(from, K, matrices, to); }
#elif defined(HIDDENSTATE_ADD_PRODUCT)
inline std::int64_t row_size(std::int64_t K) { return width(K); }
inline void copy_row(const element* from, std::int64_t K, bool, element* to) {
    std::fill(std::copy_n(from, K, to), to + width(K), element{});
}
#endif

// Reusable memory for such rows, which grows as needed. It is aligned to a cache line, because matrix registers load rows more slowly if
// they straddle two lines.
class RowMemory {
public:
    element* take(std::int64_t count) {
        constexpr std::size_t kLine = 64;
        const auto bytes = static_cast<std::size_t>(count) * sizeof(element);
        memory_.resize(std::max(memory_.size(), static_cast<std::size_t>(count) + kLine / sizeof(element)));
        void* at = memory_.data();
        std::size_t room = memory_.size() * sizeof(element);
        return static_cast<element*>(std::align(kLine, bytes, at, room));
    }

private:
    std::vector<element> memory_;
};

// Copies rows into the form that tiles read, once, because all blocks of weights read the same rows. Matrix registers are fastest with
// evenly spaced, zero-padded rows; for int8 weights, rows are rounded. All other tiles read rows in place.
class EvenRows {
public:
    // Makes the pointers point at copies, unless the rows are already in that form.
    void take(const element** rows, std::int64_t count, std::int64_t K, bool matrices) {
#if defined(HIDDENSTATE_ADD_PRODUCT) || defined(HIDDENSTATE_INT8)
        const std::int64_t size = row_size(K);
#ifndef HIDDENSTATE_INT8
        if (size == K && evenly_spaced(rows, count)) return;
#endif
        element* copy = copies_.take(count * size);
        for (std::int64_t r = 0; r < count; ++r, copy += size) {
            copy_row(rows[r], K, matrices, copy);
            rows[r] = copy;
        }
#else
        (void)rows, (void)count, (void)K, (void)matrices;
#endif
    }

private:
    RowMemory copies_;
};

// The sizes that a plan depends on. By default, matrix registers and int8 weights don't join products: both convert rows first, so they
// gain more from multiplying the inputs of many steps at once.
inline PlanSizes plan_sizes(std::int64_t N, std::int64_t C, std::int64_t H, int threads) {
    const std::int64_t bytes = blocks(H, kUnits) * kTile * (depth(C) + depth(H)) * static_cast<std::int64_t>(sizeof(packed));
    return {N, C, H, threads, kVectors ? kVectorRows : kRows, blocks(H, kUnits), bytes, !kMatrices && !kQuads};
}

inline Plan plan(std::int64_t N, std::int64_t C, std::int64_t H, int threads, int other) {
    return plan_of(plan_sizes(N, C, H, threads), other);
}

// The k-th part of `count` elements, divided by whole vectors or by larger units of `whole` elements.
inline Range vectors(std::int64_t count, int k, int threads, std::int64_t whole = kLanes) {
    const Range mine = part(blocks(count, whole), k, threads);
    return {std::min(mine.first * whole, count), std::min(mine.last * whole, count)};
}

// How a job is divided among threads. Rows are independent, so threads that divide the rows never wait for one another, but each reads all
// weights. Threads that divide the units read only their own weights, but must synchronise at every step, because each step reads the
// hidden state of all units.
struct Partition {
    bool together;  // whether the units are divided, so that all threads are at the same step
    std::vector<Range> rows, units, hidden;  // for each thread; `hidden` is its part of the hidden state

    // Divides a job among at most `threads` threads, by units if `by_units`, otherwise by rows.
    template <class Job>
    Partition(const Job& job, int threads, bool by_units) : together(by_units) {
        if (!together) {
            divide_rows(job, static_cast<int>(std::min<std::int64_t>(threads, std::max<std::int64_t>(job.N, 1))));
            units.assign(rows.size(), {0, job.H});
            hidden.assign(rows.size(), {0, job.P});
        }
        for (int k = 0; together && k < threads; ++k) {
            rows.push_back({0, job.N});
            units.push_back(vectors(job.H, k, threads, kUnits));
            hidden.push_back(vectors(job.P, k, threads, kUnits));
        }
    }

    int threads() const { return static_cast<int>(rows.size()); }

private:
    // Gives each thread about the same number of steps, since rows may have different lengths.
    template <class Job>
    void divide_rows(const Job& job, int threads) {
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
