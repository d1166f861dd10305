// Which way a crew goes, on a clock of the tests' own.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "threads/thread_tuner.h"
#include "check.h"

namespace hiddenstate::test {

// Time passes where a job says so.
struct Clock {
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<Clock, duration>;

    static inline time_point time{};

    static time_point now() { return time; }
};

// How a crew of four shares so many seconds of work, where a job takes so long alone and together.
struct Shared {
    std::int64_t alone = 0, together = 0;
};

inline Shared work(ThreadTuner<Clock>& crew, double seconds, double alone, double together) {
    Shared jobs;
    const auto end = Clock::time + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (Clock::time < end) {
        crew.run([&](int threads) {
            checks::that(threads == 1 || threads == 4, "a crew of four works alone or together");
            ++(threads == 1 ? jobs.alone : jobs.together);
            const std::chrono::duration<double> taken(threads == 1 ? alone : together);
            Clock::time += std::chrono::duration_cast<Clock::duration>(taken);
        });
    }
    return jobs;
}

// Streams in several threads have one crew.
inline void check_shared_crew() {
    ThreadTuner<> crew(4);
    std::atomic<std::int64_t> alone{0}, together{0};
    const auto job = [&](int threads) {
        ++(threads == 1 ? alone : together);
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    };
    std::vector<std::thread> streams;
    for (int k = 0; k < 4; ++k) streams.emplace_back([&] { for (int i = 0; i < 300; ++i) crew.run(job); });
    for (std::thread& stream : streams) stream.join();
    checks::that(alone + together == 1200, "each job is run once");
    checks::that(together > 0, "and both ways are tried");
}

// What counts is the time of a step, not of a job: long ones that happen to be run alone say nothing against that way.
inline void check_jobs_of_any_length() {
    ThreadTuner<Clock> crew(4);
    std::int64_t together = 0, steps = 0;
    for (int k = 0; k < 2000; ++k) {
        const std::int64_t length = k % 2 ? 1 : 300;
        crew.run([&](int threads) {
            (threads == 1 ? steps : together) += length;
            Clock::time += std::chrono::microseconds(length * (threads == 1 ? 20 : 50));
        }, length);
    }
    checks::that(together < steps / 4, "alone a step is faster, however many a job has");
}

inline void check_crews() {
    checks::context = "crew";
    ThreadTuner<Clock> crew(4);
    Shared jobs = work(crew, 1, 60e-6, 20e-6);
    checks::that(jobs.alone * 60e-6 < 0.07 && jobs.together > 46000, "together is faster, and stays after short looks");
    jobs = work(crew, 10, 60e-6, 6.5e-3);
    checks::that(jobs.together < 40, "other programs come: together is tried ever more rarely");
    checks::that(jobs.together > 3, "but tried");
    jobs = work(crew, 10, 60e-6, 20e-6);
    checks::that(jobs.alone * 60e-6 < 3.3, "they have gone: together again, after at most the longest rest");
    jobs = work(crew, 1, 200e-6, 100e-6);
    checks::that(jobs.together > jobs.alone, "both ways became slower: the faster one goes on");

    ThreadTuner<Clock> small(4);
    jobs = work(small, 20, 5e-6, 8e-6);
    checks::that(jobs.together * 8e-6 < 0.3, "alone is faster: the other way costs little to try");
    ThreadTuner<Clock> unlucky(4);
    work(unlucky, 0.001, 6e-3, 200e-6);
    jobs = work(unlucky, 1, 20e-6, 200e-6);
    checks::that(jobs.together * 200e-6 < 0.2, "a time slice in the first turn: alone is tried again, and faster");
    ThreadTuner<Clock> disturbed(4);
    work(disturbed, 0.1, 30e-6, 20e-6);
    for (int moment = 0; moment < 10; ++moment) {
        work(disturbed, 0.001, 30e-6, 12e-3);
        jobs = work(disturbed, 0.2, 30e-6, 20e-6);
        checks::that(jobs.alone * 30e-6 < 0.04, "one bad moment in a turn decides nothing");
    }
    ThreadTuner<Clock> stale(4);
    work(stale, 20, 300e-6, 250e-6);
    jobs = work(stale, 10, 60e-6, 200e-6);
    checks::that(jobs.together * 200e-6 < 3.3, "alone became much faster, unseen: it is seen after at most the longest rest");
    ThreadTuner<Clock> lengthy(4);
    jobs = work(lengthy, 20, 1, 0.5);
    checks::that(jobs.alone <= 3, "long jobs are tried one at a time, and rarely");
    check_shared_crew();
    check_jobs_of_any_length();
    ThreadTuner<Clock> one(1);
    jobs = work(one, 1, 60e-6, 1);
    checks::that(jobs.together == 0, "one thread has no choice");
}

}  // namespace hiddenstate::test
