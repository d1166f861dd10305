// Chooses one of several equivalent plans for a job that is repeated.
//
// The first jobs try each plan in turn. Only the best time of a plan counts, because other programs can only slow it down; the first plan
// stays unless another one is clearly faster. Later, after a pause that doubles each time, all plans are tried again, because other work on
// the machine may have started or ended.
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

    // Runs job(k), where k is one of the plans 0 ... plans - 1. The job does `work` units of work.
    template <class Job>
    void run(const Job& job, std::int64_t work = 1) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        // Of overlapping jobs, only one is timed. In a forked process, the thread that holds the lock may not exist.
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

    // The plan that is used between trials.
    int chosen() const { return chosen_; }

private:
    static constexpr int kWarming = 1, kRounds = 3;      // warm-up jobs that do not count; how many times each plan is tried
    static constexpr double kClearly = 0.95;             // another plan must take less than this fraction of the first plan's time
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
    std::vector<double> seconds_;  // each plan's best time per unit of work in this trial
    int next_ = 0, warming_ = 0;   // jobs counted in this trial; warm-up jobs still to come
    std::atomic<int> chosen_{0};
    double pause_ = kFirstPause, left_ = 0;  // seconds of work between trials; those left until the next trial
};

}  // namespace hiddenstate
