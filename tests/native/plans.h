// Checks the rules of plans, and which plan a plan tuner chooses, on a simulated clock.
#pragma once

#include <vector>

#include "threads/plan.h"
#include "threads/plan_tuner.h"
#include "check.h"
#include "thread_tuners.h"

namespace hiddenstate::test {

// Runs `jobs` jobs, which take so many seconds by each plan, and returns how often each plan was taken.
inline std::vector<int> plan(PlanTuner<Clock>& tuner, int jobs, const std::vector<double>& seconds) {
    std::vector<int> taken(seconds.size());
    for (int k = 0; k < jobs; ++k) {
        tuner.run([&](int one) {
            checks::that(one >= 0 && one < static_cast<int>(seconds.size()), "a plan tuner takes one of its plans");
            ++taken[static_cast<std::size_t>(one)];
            const std::chrono::duration<double> passed(seconds[static_cast<std::size_t>(one)]);
            Clock::time += std::chrono::duration_cast<Clock::duration>(passed);
        });
    }
    return taken;
}

inline void check_plan_tuners() {
    PlanTuner<Clock> tuner(3);
    const std::vector<int> first = plan(tuner, 100, {0.002, 0.001, 0.003});
    checks::that(tuner.chosen() == 1 && first[1] > 90, "the fastest plan is kept");
    checks::that(first[0] >= 3 && first[2] >= 3, "and each was tried several times");
    plan(tuner, 5000, {0.001, 0.002, 0.003});
    checks::that(tuner.chosen() == 0, "plans are tried again, and another one is chosen if it has become the fastest");
    PlanTuner<Clock> close(2);
    plan(close, 100, {0.001, 0.00099});
    checks::that(close.chosen() == 0, "the first plan stays unless another one is clearly faster");
    PlanTuner<Clock> rare(2);
    const std::vector<int> taken = plan(rare, 200000, {0.001, 0.002});
    checks::that(taken[1] < 50, "a slower plan is tried ever more seldom");
}

inline void check_plans() {
    const auto of = [](std::int64_t N, std::int64_t H, int threads, std::int64_t bytes, int other) {
        return plan_of({N, H, H, threads, 6, H / 16, bytes, true}, other);
    };
    constexpr std::int64_t kSmall = 1, kLarge = std::int64_t{1} << 40;
    for (const int other : {int{kNoOther}, kOtherSplit | kOtherProduct}) {
        checks::that(of(1, 64, 2, kSmall, other) == Plan{true, false}, "one row is divided by units, and joins no products");
        checks::that(of(256, 64, 2, kLarge, other) == Plan{false, true}, "many rows are divided, and join products");
        checks::that(of(64, 64, 2, kSmall, other).joins, "products of weights in the cache are joined");
        checks::that(!of(1, 16, 2, kSmall, other).units, "one block of units is not divided");
        checks::that(!of(16, 64, 1, kSmall, other).units, "nor is the work of one thread");
    }
    checks::that(!of(16, 64, 2, kLarge, kNoOther).units && of(16, 64, 2, kLarge, kOtherSplit).units, "the division of some rows is tried");
    checks::that(!of(64, 64, 2, kLarge, kNoOther).joins && of(64, 64, 2, kLarge, kOtherProduct).joins, "so are products");
    checks::that(bytes_of_own_cache() >= 1 << 16 && bytes_of_own_cache() <= 1 << 28, "the size of a core's cache is one");
}

}  // namespace hiddenstate::test
