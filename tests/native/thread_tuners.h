// Checks which mode a thread tuner chooses, on a simulated clock.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "threads/thread_tuner.h"
#include "check.h"

namespace hiddenstate::test {

// A clock that only jobs advance.
struct Clock {
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<Clock, duration>;

    static inline time_point time{};

    static time_point now() { return time; }
};

// How many jobs a tuner of four threads ran in each mode.
struct Jobs {
    std::int64_t alone = 0, together = 0;
};

// Runs jobs for some seconds, of which each takes `alone` seconds on one thread and `together` seconds on all.
inline Jobs work(ThreadTuner<Clock>& tuner, double seconds, double alone, double together) {
    Jobs jobs;
    const auto end = Clock::time + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (Clock::time < end) {
        tuner.run([&](int threads) {
            checks::that(threads == 1 || threads == 4, "a tuner of four threads uses one or all");
            ++(threads == 1 ? jobs.alone : jobs.together);
            const std::chrono::duration<double> taken(threads == 1 ? alone : together);
            Clock::time += std::chrono::duration_cast<Clock::duration>(taken);
        });
    }
    return jobs;
}

// Streams in several threads share one tuner.
inline void check_shared_tuner() {
    ThreadTuner<> tuner(4);
    std::atomic<std::int64_t> alone{0}, together{0};
    const auto job = [&](int threads) {
        ++(threads == 1 ? alone : together);
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    };
    std::vector<std::thread> streams;
    for (int k = 0; k < 4; ++k) streams.emplace_back([&] { for (int i = 0; i < 300; ++i) tuner.run(job); });
    for (std::thread& stream : streams) stream.join();
    checks::that(alone + together == 1200, "each job is run once");
    checks::that(together > 0, "and both modes are tried");
}

// A job may be longer than a sample. One that has a bad moment, at first or later, decides nothing.
inline void check_long_jobs_in_bad_moments() {
    ThreadTuner<Clock> tuner(4);
    work(tuner, 0.001, 14e-3, 0.3);
    work(tuner, 0.001, 14e-3, 0.3);
    Jobs jobs = work(tuner, 2, 14e-3, 9e-3);
    checks::that(static_cast<double>(jobs.alone) * 14e-3 < 0.2, "a bad moment in the first trial of a long job decides nothing");
    for (int moment = 0; moment < 10; ++moment) {
        work(tuner, 0.001, 14e-3, 0.1);
        jobs = work(tuner, 1, 14e-3, 9e-3);
        checks::that(static_cast<double>(jobs.alone) * 14e-3 < 0.1, "nor does one later");
    }
    jobs = work(tuner, 10, 14e-3, 0.1);
    checks::that(static_cast<double>(jobs.together) * 0.1 < 2.5, "but several of them do");
}

// One that begins with all threads stays with them while they are faster, and leaves them when they are not.
inline void check_tuner_that_begins_with_all() {
    ThreadTuner<Clock> tuner(4, true);
    checks::that(work(tuner, 0.0001, 0.02, 0.005).together == 1, "the first job runs on all threads");
    const Jobs quiet = work(tuner, 20, 0.02, 0.005);
    checks::that(quiet.alone > 0 && static_cast<double>(quiet.alone) < 0.02 * static_cast<double>(quiet.together), "alone is tried seldom");
    work(tuner, 20, 0.02, 0.1);  // another program has come
    const Jobs beside = work(tuner, 20, 0.02, 0.1);
    checks::that(static_cast<double>(beside.together) < 0.02 * static_cast<double>(beside.alone), "then it runs alone");
}

// Lets the clock go on without work.
inline void rest(double seconds) {
    Clock::time += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// Work that comes in bursts: a mode that a bad moment has ruled out is tried again after a rest, the other costs little to try.
inline void check_bursts() {
    ThreadTuner<Clock> tuner(4);
    work(tuner, 0.5, 30e-6, 15e-6);
    work(tuner, 0.1, 30e-6, 5e-3);  // another program comes
    Jobs jobs = work(tuner, 0.02, 30e-6, 15e-6);
    checks::that(jobs.together == 0, "and goes, which is not seen at once");
    rest(1);
    jobs = work(tuner, 0.1, 30e-6, 15e-6);
    checks::that(jobs.alone * 30e-6 < 0.005, "but after a rest");
    ThreadTuner<Clock> busy(4);
    double together = 0;
    for (int burst = 0; burst < 50; ++burst) {
        together += static_cast<double>(work(busy, 0.12, 30e-6, 4e-3).together) * 4e-3;
        rest(0.5);
    }
    checks::that(together < 0.05 * 50 * 0.12, "where all are slower, they are tried in few bursts");
    ThreadTuner<Clock> frames(4);
    jobs = {};
    for (int frame = 0; frame < 5000; ++frame) {
        const Jobs one = work(frames, 1e-9, 200e-6, 100e-6);
        jobs.alone += one.alone, jobs.together += one.together;
        rest(0.016);
    }
    checks::that(jobs.together > jobs.alone, "rests between all jobs do not keep all from being tried");
}

// Jobs are close if nearly all follow within microseconds.
inline void check_close_jobs() {
    ThreadTuner<Clock> tuner(4);
    const auto steps = [&](int count, double pause) {
        for (int k = 0; k < count; ++k) work(tuner, 1e-9, 10e-6, 10e-6), rest(pause);
    };
    checks::that(!tuner.runs_close_jobs(), "nothing is known");
    steps(100, 2e-6);
    checks::that(tuner.runs_close_jobs(), "jobs are close");
    rest(1), steps(1, 2e-6);
    checks::that(tuner.runs_close_jobs(), "one rest does not matter");
    steps(10, 50e-6);
    checks::that(!tuner.runs_close_jobs(), "jobs are apart");
    steps(10, 2e-6);
    checks::that(!tuner.runs_close_jobs(), "and a few are too few to tell");
}

// The tuner compares times per unit of work, not per job: a long job in one mode does not make that mode look slow.
inline void check_jobs_of_any_length() {
    ThreadTuner<Clock> tuner(4);
    std::int64_t together = 0, steps = 0;
    for (int k = 0; k < 2000; ++k) {
        const std::int64_t length = k % 2 ? 1 : 300;
        tuner.run([&](int threads) {
            (threads == 1 ? steps : together) += length;
            Clock::time += std::chrono::microseconds(length * (threads == 1 ? 20 : 50));
        }, length);
    }
    checks::that(together < steps / 4, "alone a step is faster, however many a job has");
}

inline void check_thread_tuners() {
    checks::context = "thread tuner";
    ThreadTuner<Clock> tuner(4);
    Jobs jobs = work(tuner, 1, 60e-6, 20e-6);
    checks::that(jobs.alone * 60e-6 < 0.07 && jobs.together > 46000, "together is faster, and stays after short trials");
    jobs = work(tuner, 10, 60e-6, 6.5e-3);
    checks::that(jobs.together < 40, "other programs come: together is tried ever more rarely");
    checks::that(jobs.together > 3, "but tried");
    jobs = work(tuner, 10, 60e-6, 20e-6);
    checks::that(jobs.alone * 60e-6 < 3.3, "they have gone: together again, after at most the longest backoff");
    jobs = work(tuner, 1, 200e-6, 100e-6);
    checks::that(jobs.together > jobs.alone, "both modes became slower: the faster one goes on");

    ThreadTuner<Clock> small(4);
    jobs = work(small, 20, 5e-6, 8e-6);
    checks::that(jobs.together * 8e-6 < 0.3, "alone is faster: the other mode costs little to try");
    ThreadTuner<Clock> unlucky(4);
    work(unlucky, 0.001, 6e-3, 200e-6);
    jobs = work(unlucky, 1, 20e-6, 200e-6);
    checks::that(jobs.together * 200e-6 < 0.2, "a time slice in the first trial: alone is tried again, and faster");
    ThreadTuner<Clock> disturbed(4);
    work(disturbed, 0.1, 30e-6, 20e-6);
    for (int moment = 0; moment < 10; ++moment) {
        work(disturbed, 0.001, 30e-6, 12e-3);
        jobs = work(disturbed, 0.2, 30e-6, 20e-6);
        checks::that(jobs.alone * 30e-6 < 0.04, "one bad moment in a trial decides nothing");
    }
    ThreadTuner<Clock> stale(4);
    work(stale, 20, 300e-6, 250e-6);
    jobs = work(stale, 10, 60e-6, 200e-6);
    checks::that(jobs.together * 200e-6 < 3.3, "alone became much faster, unseen: it is seen after at most the longest backoff");
    ThreadTuner<Clock> lengthy(4);
    jobs = work(lengthy, 20, 1, 0.5);
    checks::that(jobs.alone <= 3, "long jobs are tried one at a time, and rarely");
    check_long_jobs_in_bad_moments();
    check_shared_tuner();
    check_tuner_that_begins_with_all();
    check_jobs_of_any_length();
    check_bursts();
    check_close_jobs();
    ThreadTuner<Clock> one(1);
    jobs = work(one, 1, 60e-6, 1);
    checks::that(jobs.together == 0, "one thread has no choice");
}

}  // namespace hiddenstate::test
