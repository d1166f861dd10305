// Threads that compute parts of a stream's steps while these follow one another closely.
//
// An OpenMP parallel region moves cache lines between cores some eight times before it ends, which takes longer than many steps. A
// helper is offered its part in one cache line, and reports in the same line that it is done. It spins while it waits for the next
// part, as threads do that wait for one another, and then sleeps.
//
// A part that a helper has not begun when the others are done is taken back. So no step waits for a thread to wake up, only for
// one that has begun: on a busy core that may take long, which a ThreadTuner notices.
#pragma once

#include <mutex>

namespace hiddenstate {

// Owns the helpers of the process during its lifetime; empty if another thread owns them, or if there can't be that many.
class Helpers {
public:
    // `threads`: their number, including the caller's.
    explicit Helpers(int threads);

    explicit operator bool() const { return mine_.owns_lock(); }

    // Calls part(k) for k = 0 ... threads - 1, 0 on this thread. Parts must not throw, and not wait for one another.
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
