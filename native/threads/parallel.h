// Runs a function on several threads, which may wait for one another at a barrier.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "platform/allocator.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hiddenstate {

// Runs body(context, k) for k = 0 ... threads - 1. With `together`, each body runs on its own thread, so that bodies may wait for one
// another; if there are too few threads, for example inside another parallel region or in a forked process, it returns false without running
// anything. Bodies must not throw.
bool run_on_threads(int threads, bool together, void (*body)(const void* context, int k), const void* context);

namespace {

// Lets threads wait for a condition. They first spin for about 20 microseconds, because the wait normally takes less than one; then they
// sleep, because another program is probably using a core that a thread needs.
class Waiting {
public:
    // To be called after a change that others may be waiting for. The change must be sequentially consistent.
    void changed() {
        if (asleep_.load() == 0) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        awake_.notify_all();
    }

    // Waits until holds() is true. holds() must read with sequential consistency.
    template <class Holds>
    void until(const Holds& holds) {
        for (int spins = 0; spins < kSpins; ++spins) {
            if (holds()) return;
            pause();
        }
        // No wake-up is lost: this thread writes asleep_ and then reads the awaited state, and the changing thread does the reverse. So
        // either this thread sees the change, or the other sees that this one is asleep.
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        awake_.wait(lock, holds);
        --asleep_;
    }

private:
    static constexpr int kSpins = 2000;

    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }

    std::atomic<int> asleep_{0};
    std::mutex mutex_;
    std::condition_variable awake_;
};

// A barrier: each thread waits until all have reached it.
class Barrier {
public:
    void wait(int threads) {
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (waiting_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
            waiting_.store(0, std::memory_order_relaxed);
            round_.store(round + 1);
            return others_.changed();
        }
        others_.until([&] { return round_.load() != round; });
    }

private:
    alignas(64) std::atomic<int> waiting_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    Waiting others_;
};

// Waits at a barrier for so many threads, if there is one.
struct Wait {
    Barrier* barrier = nullptr;
    int threads = 1;

    void operator()() const {
        if (barrier) barrier->wait(threads);
    }
};

// A thread's progress, which others can wait for.
class Progress {
public:
    void publish(std::int64_t reached) {
        reached_.store(reached);
        others_.changed();
    }

    void wait_for(std::int64_t wanted) {
        others_.until([&] { return reached_.load() >= wanted; });
    }

private:
    alignas(64) std::atomic<std::int64_t> reached_{0};
    Waiting others_;
};

// Memory for `count` elements, aligned to cache lines and uninitialised.
template <class T>
class Buffer {
public:
    explicit Buffer(std::int64_t count)
        : bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          at_(static_cast<T*>(is_large() ? take_large(bytes_) : ::operator new(bytes_, kAlignment))) {}
    ~Buffer() { is_large() ? give_back_large(at_, bytes_) : ::operator delete(at_, kAlignment); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() const { return at_; }

private:
    static constexpr std::align_val_t kAlignment{64};
    static constexpr std::size_t kLarge = std::size_t{16} << 20;

    bool is_large() const { return bytes_ >= kLarge; }

    const std::size_t bytes_;
    T* const at_;
};

// A range of indices from `first` up to, but not including, `last`.
struct Range {
    std::int64_t first, last;

    std::int64_t size() const { return last - first; }
};

// The k-th of n parts of the range from 0 to `count`, as equal in size as possible.
inline Range part(std::int64_t count, int k, int n) { return {k * count / n, (k + 1) * count / n}; }

}  // namespace
}  // namespace hiddenstate
