// Runs a call without the GIL, on the fastest number of threads.
#pragma once

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "kernel/scan.h"
#include "python/tensor_access.h"
#include "threads/plan_tuner.h"
#include "threads/thread_tuner.h"
#include "threads/thresholds.h"

namespace hiddenstate {

enum class Task { kForward, kRecordedForward, kBackward, kSteps, kStreamStep, kCellStep, kCellGradients };

// The properties of a call that determine its time per step. Calls that agree in all of them share a thread tuner.
struct Timed {
    const void* scan;
    Task task;
    std::int64_t N, C, H, P, layers, directions;
    int threads;

    bool operator<(const Timed& o) const {
        return std::tie(scan, task, N, C, H, P, layers, directions, threads) <
               std::tie(o.scan, o.task, o.N, o.C, o.H, o.P, o.layers, o.directions, o.threads);
    }
};

template <class P>
Timed timed(const Scan<P>& scan, Task task, const Call<P>& call) {
    const auto layers = static_cast<std::int64_t>(call.layers.size());
    return {&scan, task, call.N, call.C, call.H, call.P, layers, call.directions, call.threads};
}

// Returns the thread tuner that all such calls share, because a single call may be shorter than a sample.
ThreadTuner<>& tuner_of(const Timed& what, bool begins_with_all);

// Returns the plan tuner that all such calls share.
PlanTuner<>& plan_tuner_of(const Timed& what, int plans);

// The distinct plans for a forward call, as deviations from the rules' plan, which comes first.
template <class P>
std::vector<int> plans_of(const Scan<P>& scan, const Call<P>& call) {
    const std::int64_t above = call.layers.size() > static_cast<std::size_t>(call.directions) ? call.directions * call.P : call.C;
    std::vector<int> found;
    const auto layer = [&](std::int64_t C, int other) { return scan.plan(call.N, C, call.H, call.threads, other); };
    for (int other = 0; other < kOtherPlans; ++other) {
        const bool known = std::any_of(found.begin(), found.end(), [&](int one) {
            return layer(call.C, one) == layer(call.C, other) && layer(above, one) == layer(above, other);
        });
        if (!known) found.push_back(other);
    }
    return found;
}

// torch's number of threads, if the call is large enough for more than one.
template <class P>
int threads_for(const Call<P>& call) {
    const int most = nb::cast<int>(torch_api().num_threads());
    const auto count = static_cast<std::int64_t>(call.layers.size());
    if (runs_in_stages(call.N, call.H, count, call.directions)) {
        return threads_worth_waking_for_stages(call.T, call.N, call.C, call.H, count, most);
    }
    return threads_worth_waking(call.T, call.N, call.C, call.H, most);
}

template <class P>
std::int64_t multiplications(const Call<P>& call) {
    return static_cast<std::int64_t>(call.layers.size()) * 4 * call.T * call.N * call.H * (call.C + call.P);
}

// How such calls are run: on how many threads, and by which plans.
struct Tuned {
    bool stages;               // whether each layer and direction has its own thread
    ThreadTuner<>* threads;    // null means that all threads are used
    std::vector<int> others;   // the plans that are tried when all threads are used
    PlanTuner<>* plans;        // null means the rules' plan
};

template <class P>
Tuned tuned(const Scan<P>& scan, Task task, const Call<P>& call) {
    Tuned to{};
    const auto count = static_cast<std::int64_t>(call.layers.size());
    to.stages = call.threads > 1 && runs_in_stages(call.N, call.H, count, call.directions);
    // Threads that divide the units wait for one another at every step. Threads that divide the rows wait only at the end, but possibly for
    // long if another program keeps one of them off its core. Backward divides the units up to a larger number of rows.
    const int other = task == Task::kBackward ? kOtherSplit : kNoOther;
    const bool waits = to.stages || scan.plan(call.N, call.C, call.H, call.threads, other).units;
    if (waits || (call.threads > 1 && multiplications(call) <= kTunedCall)) to.threads = &tuner_of(timed(scan, task, call), !waits);
    if (to.stages || (task != Task::kForward && task != Task::kRecordedForward)) return to;
    to.others = plans_of(scan, call);
    if (to.others.size() > 1) to.plans = &plan_tuner_of(timed(scan, task, call), static_cast<int>(to.others.size()));
    return to;
}

// Runs work(call) without the GIL.
template <class P, class Work>
void run_without_gil(const Scan<P>& scan, Task task, Call<P>& call, const Work& work) {
    const Tuned by = tuned(scan, task, call);
    const nb::gil_scoped_release released;
    const auto run = [&] {
        if (!by.plans) return work(call);
        by.plans->run([&](int k) {
            call.other_plan = by.others[static_cast<std::size_t>(k)];
            work(call);
        }, call.T);
    };
    if (!by.threads) return run();
    const int most = call.threads;
    by.threads->run([&](int threads) {
        call.threads = threads;
        if (threads == most) return run();
        call.other_plan = kNoOther;
        work(call);
    }, call.T);
}

// How the next call of these sizes will be run.
struct Planned {
    int threads;
    bool stages;
    Plan plan;
};

template <class P>
Planned planned(const Scan<P>& scan, Task task, Call<P>& call) {
    call.threads = threads_for(call);
    const Tuned by = tuned(scan, task, call);
    const int threads = by.threads ? by.threads->threads() : call.threads;
    const int other = by.plans && threads == call.threads ? by.others[static_cast<std::size_t>(by.plans->chosen())] : kNoOther;
    return {threads, by.stages && threads > 1, scan.plan(call.N, call.C, call.H, threads, other)};
}

}  // namespace hiddenstate
