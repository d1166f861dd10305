// Runs a call without the GIL, on the number of threads that is fastest.
#pragma once

#include <map>
#include <tuple>
#include <utility>

#include "kernel/scan.h"
#include "python/tensor_access.h"
#include "threads/thread_tuner.h"
#include "threads/thresholds.h"

namespace hiddenstate {

enum class Task { kForward, kRecordedForward, kBackward, kSteps, kStreamStep, kCellStep, kCellGradients };

// The properties of a call that its time per step depends on. Calls that agree in all of them share a thread tuner.
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

// The thread tuner of all such calls. They share it because one call may be shorter than a sample.
ThreadTuner<>& tuner_of(const Timed& what, bool begins_with_all);

// Torch's number of threads, if the call is large enough for more than one.
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

// Runs work(call) without the GIL: on all its threads or, if these would wait for one another at every step, on one or all of them,
// whichever is faster.
template <class P, class Work>
void run_without_gil(const Scan<P>& scan, Task task, Call<P>& call, const Work& work) {
    const bool waits = scan.shares_units(call.N, call.H, call.threads) ||
                       (call.threads > 1 && runs_in_stages(call.N, call.H, static_cast<std::int64_t>(call.layers.size()), call.directions));
    // Threads that divide rows wait only at the end, but may wait long there if another program keeps one of them off its core.
    const bool tunes = waits || (call.threads > 1 && multiplications(call) <= kTunedCall);
    ThreadTuner<>* const tuner = tunes ? &tuner_of(timed(scan, task, call), !waits) : nullptr;
    const nb::gil_scoped_release released;
    if (!tuner) return work(call);
    tuner->run([&](int threads) {
        call.threads = threads;
        work(call);
    }, call.T);
}

}  // namespace hiddenstate
