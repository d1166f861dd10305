// Chooses whether a small repeated job runs on one thread or on all.
//
// All threads together have more cache than one, so they can hold weights that one cannot. But they must all be running at the same time:
// if other programs use the cores, a job of a few microseconds may wait for another program's time slice, which is a thousand times as
// long. Only measured times show which is the case. So both modes are timed: the faster one is used, and the slower one is tried again
// after a backoff, which doubles each time it turns out slower again.
//
//     one 1 ms | all 0.1 s  | one 14 ms | all 0.2 s  | ...      while all threads are faster
//              | all 14 ms  | one 0.1 s | all 14 ms  | ...      while one is
//
// After a rest, earlier results may be outdated, and the work may end before a backoff does. So if one thread was faster, all threads are
// tried again sooner, with shorter samples.
//
// A trial compares a mode with the last time of the other mode. The best of three samples decides, because every system has a few slow
// moments each second, none of which should decide. A sample lasts several time slices, so that a program that keeps a core busy shows up
// in every sample. The samples of the first trial are shorter, so that the other mode is tried soon. A job that is longer than a sample
// counts as one: a trial then ends after one faster or two slower jobs. The backoff is at least ten times as long as the trial before
// it. Both modes are timed repeatedly, because timings go stale.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>

namespace hiddenstate {

template <class Clock = std::chrono::steady_clock>
class ThreadTuner {
public:
    // Starts with one thread and soon tries all; or starts with all and tries one after the longest backoff, when the first calls, which
    // are slow for other reasons, are over.
    explicit ThreadTuner(int threads, bool begins_with_all = false) : threads_(std::max(threads, 1)), all_(begins_with_all) {
        if (begins_with_all) seconds_[0] = std::numeric_limits<double>::infinity(), backoff_ = kLongestBackoff;
    }

    // Runs job(threads), which does `work` units of work. Several threads may call this at the same time, each with its own jobs.
    template <class Job>
    void run(const Job& job, std::int64_t work = 1) {
        if (threads_ == 1) return job(1);
        const bool all = all_;
        const auto begin = Clock::now();
        job(all ? threads_ : 1);
        count(all, work, begin, Clock::now());
    }

    // The number of threads of the current mode.
    int threads() const { return all_ ? threads_ : 1; }

    // Whether the last jobs followed one another within microseconds, except for an occasional rest.
    bool runs_close_jobs() const { return close_; }

private:
    // In seconds of work.
    static constexpr double kFirstSample = 0.0005, kSample = 0.007, kShortestBackoff = 0.1, kLongestBackoff = 3;
    static constexpr int kSamples = 2;        // how many samples with the same result decide a trial
    static constexpr double kBackoffs = 10;   // the minimum length of a backoff, relative to the trial before it
    // The minimum length of a rest; the factor by which a rest shortens the backoff; and the sample length of the trial after it.
    static constexpr double kRest = 0.01, kHaste = 8, kSampleAfterRest = 0.002;
    static constexpr double kClose = 10e-6;   // the maximum time between close jobs, in seconds
    static constexpr int kCloseJobs = 32;     // the number of close jobs after which more are expected

    using Time = typename Clock::time_point;

    static double seconds_between(Time begin, Time end) { return std::chrono::duration<double>(end - begin).count(); }

    // Adds a job to the sample. Drops it if another thread holds the lock: waiting would cost more than the timing is worth, and in a
    // forked process the other thread may not exist. Also drops it if another thread has ended the trial that the job belongs to.
    void count(bool all, std::int64_t work, Time begin, Time end) {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return;
        const double rest = seconds_between(last_end_, begin), seconds = seconds_between(begin, end);
        last_end_ = end;
        // Overlapping jobs from different threads do not count as close.
        close_jobs_ = rest >= 0 && rest < kClose ? std::min(close_jobs_ + 1, 2 * kCloseJobs) : std::max(close_jobs_ - kCloseJobs / 2, 0);
        close_ = close_jobs_ >= kCloseJobs;
        if (all != all_) return;
        if (rest >= kRest) begin_after_rest();
        sample_ += seconds, sample_work_ += work;
        (tries_slower_ ? trial_ : since_trial_) += seconds;
        const double usual = seconds_[!all_] > 0 ? seconds_[!all_] * static_cast<double>(work) : seconds;
        if (sample_ >= sample_length_) end_sample(usual >= kSample);
    }

    // If the last trial of all threads was long enough ago, times one thread again briefly, and then all threads.
    void begin_after_rest() {
        if (all_ || tries_slower_ || rested_ || backoff_ == 0 || since_trial_ < backoff_ / kHaste) return;
        rested_ = true, sample_length_ = kFirstSample;
        sample_ = 0, sample_work_ = 0, results_[0] = results_[1] = 0;
    }

    // `long_job` means that a single job is longer than a sample, so extra samples would cost more than they are worth.
    void end_sample(bool long_job) {
        const double seconds = sample_ / static_cast<double>(sample_work_);
        const bool faster = seconds <= seconds_[!all_], compares = seconds_[!all_] > 0;
        sample_ = 0, sample_work_ = 0;
        if (++results_[faster] < kSamples && !(long_job && (faster || !compares))) return;
        seconds_[all_] = seconds;
        end_trial(faster);
    }

    // `faster` means that the current mode is faster than the other one was.
    void end_trial(bool faster) {
        if (tries_slower_) {
            backoff_ = faster ? kShortestBackoff : std::clamp(2 * backoff_, kShortestBackoff, kLongestBackoff);
            backoff_ = std::max(backoff_, kBackoffs * trial_), since_trial_ = 0;
        }
        const bool change = !faster || since_trial_ >= backoff_ || (rested_ && !tries_slower_);
        // A mode that was slower but is now faster is kept, and becomes the usual one.
        tries_slower_ = change && !tries_slower_;
        if (change) all_ = !all_;
        sample_length_ = rested_ && tries_slower_ ? kSampleAfterRest : kSample;
        rested_ = rested_ && !tries_slower_, results_[0] = results_[1] = 0, trial_ = 0;
    }

    const int threads_;
    std::mutex mutex_;
    std::atomic<bool> all_;           // the current mode: all threads, or one
    bool tries_slower_ = false;       // whether the current trial is of the mode that was slower
    double seconds_[2] = {};          // seconds per unit of work with one thread and with all, in their last trials
    double sample_length_ = kFirstSample, sample_ = 0;  // the length of the current sample in seconds; how much of it has passed
    std::int64_t sample_work_ = 0;
    int results_[2] = {};             // how many samples of the current trial were slower, and faster
    double backoff_ = 0, since_trial_ = 0;  // how long the slower mode is not tried; how much of that has passed
    double trial_ = 0;                // the length so far of the current trial of the slower mode, in seconds
    bool rested_ = false;             // whether a trial is due because of a rest
    Time last_end_{};                 // when the last job ended
    int close_jobs_ = 0;              // counts close jobs; any other job reduces the count
    std::atomic<bool> close_{false};  // whether there were enough close jobs
};

}  // namespace hiddenstate
