// How many threads do a small job that comes again and again: one, or all.
//
// Several have several caches, and what one of them can't hold they can. But they must be awake at once: where other
// programs want the cores, a job of some microseconds may wait for a time slice of theirs, a thousand times as long. Which
// of it is so shows in the time that jobs take, and only there. So both ways have their turns, and the faster one goes on;
// the other is tried again after a while, the less often the more often it was slower.
//
//     alone 1 ms | together 0.1 s | alone 14 ms | together 0.2 s | ...      while together is the faster way
//                | together 14 ms | alone 0.1 s | together 14 ms | ...      while alone is
//
// A turn is the best of three bouts against what the other way took: one bad moment, as every system has some in a second,
// decides nothing. A bout is some time slices long, so that a program that wants a core for good shows in each. Those of the
// first turn are shorter, so that the other way has its turn soon. A job that is longer than a bout is a turn by itself, and
// what follows is ten times as long at least. Neither way is left for good, as what was measured of it grows old.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace hiddenstate {

template <class Clock = std::chrono::steady_clock>
class ThreadTuner {
public:
    explicit ThreadTuner(int threads) : threads_(std::max(threads, 1)) {}

    // Runs job(threads), which is so much work. Several threads may do so at once, each with jobs of its own.
    template <class Job>
    void run(const Job& job, std::int64_t work = 1) {
        if (threads_ == 1) return job(1);
        const bool together = together_;
        const auto begin = Clock::now();
        job(together ? threads_ : 1);
        count(together, work, std::chrono::duration<double>(Clock::now() - begin).count());
    }

private:
    // In seconds of work.
    static constexpr double kFirst = 0.0005, kBout = 0.007, kShortestRest = 0.1, kLongestRest = 3;
    static constexpr int kBouts = 2;      // that decide a turn
    static constexpr double kCheap = 10;  // a rest is at least so many times as long as the try before it

    // Not where another thread is just here, which may be one that a forked process has not got; nor what belongs to a turn
    // that another thread has ended.
    void count(bool together, std::int64_t work, double seconds) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock || together != together_) return;
        spent_ += seconds, done_ += work;
        (trying_ ? tried_ : rested_) += seconds;
        const double usual = seconds_[!together_] > 0 ? seconds_[!together_] * static_cast<double>(work) : seconds;
        if (spent_ >= bout_) end_bout(usual >= kBout);
    }

    // `long_job`: each takes longer than a bout anyway; to try more of them would cost more than it tells.
    void end_bout(bool long_job) {
        const double seconds = spent_ / static_cast<double>(done_);
        const bool faster = seconds <= seconds_[!together_];
        spent_ = 0, done_ = 0;
        if (++bouts_[faster] < kBouts && !long_job) return;
        seconds_[together_] = seconds;
        end_turn(faster);
    }

    void end_turn(bool faster) {
        if (trying_) {
            rest_ = faster ? kShortestRest : std::clamp(2 * rest_, kShortestRest, kLongestRest);
            rest_ = std::max(rest_, kCheap * tried_), rested_ = 0;
        }
        const bool change = !faster || rested_ >= rest_;
        trying_ = change && !trying_;
        if (change) together_ = !together_;
        bout_ = kBout, bouts_[0] = bouts_[1] = 0, tried_ = 0;
    }

    const int threads_;
    std::mutex mutex_;
    std::atomic<bool> together_{false};
    bool trying_ = false;               // whether the turn at hand is one of the slower way
    double seconds_[2] = {};            // that work takes alone and together, when a turn of them last ended
    double bout_ = kFirst, spent_ = 0;  // the bout at hand: how long, and how much of it is over
    std::int64_t done_ = 0;             // its work
    int bouts_[2] = {};                 // of the turn at hand, lost and won
    double rest_ = 0, rested_ = 0;      // how long the slower way is not tried
    double tried_ = 0;                  // how long the turn at hand of the slower way has lasted
};

}  // namespace hiddenstate
