// Threads that compute parts of a stream's steps while the steps follow one another closely.
//
// An OpenMP parallel region moves cache lines between cores about eight times before it ends, which often takes longer than the step. A
// helper is offered its part through a single cache line, and reports completion through the same line. While it waits for the next part,
// it spins for a short time, like threads at a barrier, and then sleeps.
//
// If a helper has not begun its part by the time the others are done, the part is taken back. So a step never waits for a thread to wake
// up, only for one that has begun its part. On a busy core that may take long, which a ThreadTuner notices.
#pragma once

#include <mutex>

namespace hiddenstate {

// Owns the helpers of the process while it lives; empty if another thread owns them, or if that many can't be created.
class Helpers {
public:
    // `threads` is their number, including the calling thread.
    explicit Helpers(int threads);

    explicit operator bool() const { return mine_.owns_lock(); }

    // Calls part(k) for k = 0 ... threads - 1; part(0) runs on this thread. Parts must neither throw nor wait for one another.
    template <class Part>
    void run(const Part& part) const {
        run_parts([](const void* context, int k) noexcept { (*static_cast<const Part*>(context))(k); }, &part);
    }

private:
    using Function = void (*)(const void* context, int k);

    void run_parts(Function function, const void* context) const;

    const int threads_;
    std::unique_lock<std::mutex> mine_;
};

}  // namespace hiddenstate
