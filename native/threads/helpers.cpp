#include "threads/helpers.h"

#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "threads/fork_guard.h"
#include "threads/parallel.h"

#ifdef __linux__
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace hiddenstate {
namespace {

// A thread, and the part of a step that it is offered.
class Helper {
public:
    void offer(void (*function)(const void*, int), const void* context, int k) {
        function_ = function, context_ = context, k_ = k;
        state_.store(kOffered);
        others_.changed();
    }

    // Withdraws the part; returns false if the helper has already begun it.
    bool take_back() { return moves(kOffered, kIdle); }

    void wait_until_done() {
        others_.until([this] { return state_.load() == kIdle; });
    }

    [[noreturn]] void serve() {
        while (true) {
            others_.until([this] { return state_.load() == kOffered; });
            if (!moves(kOffered, kBegun)) continue;
            function_(context_, k_);
            state_.store(kIdle);
            others_.changed();
        }
    }

private:
    enum State { kIdle, kOffered, kBegun };

    bool moves(State from, State to) { return state_.compare_exchange_strong(from, to); }

    alignas(64) std::atomic<State> state_{kIdle};
    void (*function_)(const void*, int) = nullptr;
    const void* context_ = nullptr;
    int k_ = 0;
    alignas(64) Waiting others_;
};

// Whether this many threads can run at the same time. New threads inherit the set of allowed cores from their creator. Without OpenMP, the
// engine uses only one thread.
bool may_run([[maybe_unused]] int threads) {
#ifndef _OPENMP
    return false;
#else
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed) >= threads;
#endif
    return static_cast<int>(std::thread::hardware_concurrency()) >= threads;
#endif
}

// While it lives, new threads are created with all signals blocked, so that signals go to the program's own threads, one of which may be
// waiting for them.
class NoSignals {
#if defined(__unix__) || defined(__APPLE__)
public:
    NoSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    NoSignals(const NoSignals&) = delete;
    NoSignals& operator=(const NoSignals&) = delete;

private:
    sigset_t before_;
#endif
};

struct Pool {
    std::mutex in_use;
    std::vector<std::unique_ptr<Helper>> helpers;
    int too_many = std::numeric_limits<int>::max();  // the smallest number of helpers that could not be started

    bool has(int count) {
        if (count >= too_many) return false;
        while (static_cast<int>(helpers.size()) < count) {
            if (!may_run(count + 1) || !make()) {
                too_many = count;
                return false;
            }
        }
        return true;
    }

private:
    bool make() {
        [[maybe_unused]] const NoSignals blocked;  // a thread inherits its creator's mask
        try {
            helpers.reserve(helpers.size() + 1);
            auto helper = std::make_unique<Helper>();
            std::thread(&Helper::serve, helper.get()).detach();
            helpers.push_back(std::move(helper));
            return true;
        } catch (const std::exception&) {  // the system can't create another thread, or there is no memory for it
            return false;
        }
    }
};

Pool& pool() {
    static Pool& found = *new Pool;  // never freed: helpers wait in it until the process ends
    return found;
}

}  // namespace

// A forked process has no helpers, and its copy of the mutex may be locked by a thread that does not exist in it.
Helpers::Helpers(int threads) : threads_(threads) {
    if (threads < 2 || forked()) return;
    mine_ = std::unique_lock<std::mutex>(pool().in_use, std::try_to_lock);
    if (mine_ && !pool().has(threads - 1)) mine_.unlock();
}

void Helpers::run_parts(Function function, const void* context) const {
    const auto& helpers = pool().helpers;
    for (int k = 1; k < threads_; ++k) helpers[static_cast<std::size_t>(k - 1)]->offer(function, context, k);
    function(context, 0);
    for (int k = 1; k < threads_; ++k) {
        Helper& helper = *helpers[static_cast<std::size_t>(k - 1)];
        if (helper.take_back()) {
            function(context, k);
        } else {
            helper.wait_until_done();
        }
    }
}

}  // namespace hiddenstate
