// Checks that helpers run each part of a job once, whoever comes in time.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "threads/helpers.h"
#include "check.h"

namespace hiddenstate::test {

// Jobs one right after another, but for a pause now and then that has the helper asleep; returns how many found it theirs.
inline std::int64_t run_jobs_with_helpers(int count) {
    std::int64_t theirs = 0;
    for (int job = 0; job < count; ++job) {
        if (job % 1000 == 999) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        const Helpers helpers(2);
        if (!helpers) continue;
        ++theirs;
        int parts[2] = {};  // not atomic: the end of a job orders what its parts have written
        helpers.run([&](int k) { ++parts[k]; });
        checks::that(parts[0] == 1 && parts[1] == 1, "each part is run once");
    }
    return theirs;
}

inline void check_helpers() {
    checks::context = "helpers";
    checks::that(!Helpers(1), "one thread needs no helper");
    checks::that(!Helpers(1 << 20), "there can't be more than processors");
    const bool any = static_cast<bool>(Helpers(2));  // none on a single processor
    checks::that((run_jobs_with_helpers(5000) == 5000) == any, "a thread that is alone has them always");
    std::atomic<std::int64_t> theirs{0};
    std::vector<std::thread> threads;
    for (int k = 0; k < 3; ++k) threads.emplace_back([&] { theirs += run_jobs_with_helpers(3000); });
    for (std::thread& thread : threads) thread.join();
    checks::that((theirs > 0) == any, "of several threads one has them");
}

}  // namespace hiddenstate::test
