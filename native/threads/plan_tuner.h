// Chooses one of several plans for a job that repeats, all of which do the same.
//
// The first jobs try each plan in turn. The best time of a plan counts, because what other programs do only adds to it; the first plan stays
// unless another one is clearly faster. Later all are tried again, after a time that doubles, because other work may come or go.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <vector>

namespace hiddenstate {

template <class Clock = std::chrono::steady_clock>
class PlanTuner {
public:
    explicit PlanTuner(int plans) : seconds_(static_cast<std::size_t>(plans)) { begin_trial(); }

    // Runs job(k) by one of the plans 0 ... plans - 1; it does `work` units of work.
    template <class Job>
    void run(const Job& job, std::int64_t work = 1) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        // Of jobs that overlap one is timed. In a forked process the thread with the lock may not exist.
        if (!lock) return job(chosen());
        const int plan = tries() ? next_ % count() : chosen();
        const auto begin = Clock::now();
        job(plan);
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
        if (tries()) {
            count_trial(plan, seconds / static_cast<double>(std::max<std::int64_t>(work, 1)));
        } else if ((left_ -= seconds) <= 0) {
            begin_trial();
        }
    }

    // The plan that runs between trials.
    int chosen() const { return chosen_; }

private:
    static constexpr int kWarming = 1, kRounds = 3;      // jobs that do not count; times that each plan is tried
    static constexpr double kClearly = 0.95;             // the share of the first plan's time that another must stay below
    static constexpr double kFirstPause = 1, kLongestPause = 60;  // in seconds of work

    int count() const { return static_cast<int>(seconds_.size()); }
    bool tries() const { return next_ < kRounds * count(); }

    void begin_trial() {
        std::fill(seconds_.begin(), seconds_.end(), std::numeric_limits<double>::infinity());
        next_ = 0, warming_ = kWarming;
    }

    void count_trial(int plan, double seconds) {
        if (warming_ > 0) {
            --warming_;
            return;
        }
        double& best = seconds_[static_cast<std::size_t>(plan)];
        best = std::min(best, seconds);
        if (++next_; tries()) return;
        const auto fastest = std::min_element(seconds_.begin(), seconds_.end());
        chosen_ = *fastest < kClearly * seconds_[0] ? static_cast<int>(fastest - seconds_.begin()) : 0;
        left_ = pause_;
        pause_ = std::min(2 * pause_, kLongestPause);
    }

    std::mutex mutex_;
    std::vector<double> seconds_;  // the best of each plan in this trial, for a unit of work
    int next_ = 0, warming_ = 0;   // jobs of the trial that counted; jobs that come before them
    std::atomic<int> chosen_{0};
    double pause_ = kFirstPause, left_ = 0;  // until the next trial
};

}  // namespace hiddenstate
