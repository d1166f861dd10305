// How many threads do a small job that comes again and again: one, or all.
//
// Several have several caches, and what one of them can't hold they can. But they must be awake at once: where other
// programs want the cores, a job of some microseconds may wait for a time slice of theirs, a thousand times as long. Which
// of it is so shows in the time that jobs take, and only there. So both ways have their turns, and the faster one goes on;
// the other is tried again after a while, the less often the more often it was slower.
//
//     alone 0.5 ms | together 0.1 s | alone 20 ms | together 0.2 s | ...      while together is the faster way
//                  | together 20 ms | alone 0.1 s | together 20 ms | ...      while alone is
//
// A turn is some time slices long, so that one of them alone decides nothing. The first is shorter, so that the other way has
// its turn soon. Neither is left for good, as what was measured of it grows old.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace hiddenstate {

template <class Clock = std::chrono::steady_clock>
class Crew {
public:
    explicit Crew(int threads) : threads_(std::max(threads, 1)) {}

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
    static constexpr double kFirst = 0.0005, kTurn = 0.02, kShortestRest = 0.1, kLongestRest = 3;

    // Not where another thread is just here, which may be one that a forked process has not got; nor what belongs to a turn
    // that another thread has ended.
    void count(bool together, std::int64_t work, double seconds) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock || together != together_) return;
        spent_ += seconds, done_ += work;
        if (spent_ >= turn_) end_turn();
    }

    void end_turn() {
        seconds_[together_] = spent_ / static_cast<double>(done_);
        const bool faster = seconds_[together_] <= seconds_[!together_];
        if (trying_) {
            rest_ = faster ? kShortestRest : std::clamp(2 * rest_, kShortestRest, kLongestRest), rested_ = 0;
        } else {
            rested_ += spent_;
        }
        const bool change = !faster || rested_ >= rest_;
        trying_ = change && !trying_;
        if (change) together_ = !together_;
        turn_ = kTurn, spent_ = 0, done_ = 0;
    }

    const int threads_;
    std::mutex mutex_;
    std::atomic<bool> together_{false};
    bool trying_ = false;               // whether the turn at hand is one of the slower way
    double seconds_[2] = {};            // that work takes alone and together, when they were last measured
    double turn_ = kFirst, spent_ = 0;  // the turn at hand: how long, and how much of it is over
    double rest_ = 0, rested_ = 0;      // how long the slower way is not tried
    std::int64_t done_ = 0;             // the work of the turn at hand
};

}  // namespace hiddenstate
