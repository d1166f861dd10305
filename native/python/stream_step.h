// Runs one step of a stream.
//
// A step of a small LSTM takes about a microsecond, less than the checks around it would take in Python. So these checks are made here:
// that nothing blocks the packed step (hooks, edits, torch's transforms), that the weights are those that were packed, and that the
// arguments have the form that the kernel reads.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "python/tensor_access.h"
#include "threads/thread_tuner.h"

namespace hiddenstate {

namespace nb = nanobind;

class StreamStep {
public:
    // The rows of the states that take the step; null means all N.
    using Rows = std::vector<std::int64_t>;
    // (address of x [n, C], address of out [n, H], rows, threads): writes out, and updates the states of these n rows in place.
    using Kernel = std::function<void(std::uintptr_t, std::uintptr_t, const Rows*, int)>;

    // `element`: the type of x and out. `N`: the rows of the states. `large`: whether a step releases the GIL. `tuner`: chooses the number
    // of threads for a step; it must outlive this object.
    StreamStep(Kernel kernel, NumberType element, std::int64_t N, std::int64_t C, std::int64_t H, bool large,
               ThreadTuner<>& tuner);

    // Adds parameters that must not change: the object under each name, its version and its address. Tensors created in inference mode have
    // no version.
    void guard_parameters(nb::dict parameters, nb::dict named);
    // Adds dicts (hooks) and context variables (edits in force, a selected path) that must be empty.
    void guard_empty(nb::list dicts, nb::list variables);
    // Adds functions that must return False or 0, and sets an attribute of `owner` that must be negative.
    void guard_idle(nb::sequence calls, nb::object owner, nb::object attribute);
    // Sets the error that is raised if two threads step at the same time.
    void refuse_with(nb::object error, nb::object message);
    // Sets how to create the NumPy arrays of a step. `shape_flat` is [features], for a stream with one row and no N axis.
    void take_numpy(nb::object type, nb::object dtype, nb::object make, nb::object shape, nb::object shape_flat);

    // Keeps the objects that the kernel reads and writes alive.
    void keep(nb::object objects) { keep_alive_ = std::move(objects); }
    // Sets a function that is called with a tuple of the tensor that was written, so that torch increments its version.
    void tell(nb::object mark_written) { mark_written_ = std::move(mark_written); }

    // Sets a dict that has an entry while other code changes the state.
    void take_turns(nb::object turn) { turn_ = std::move(turn); }
    // Whether a thread is in a step.
    bool is_running() const { return running_.load(); }
    // The number of steps taken.
    std::int64_t count() const { return count_; }

    // Calls f with each Python object that the step holds, for the garbage collector.
    template <class F>
    void each_object(const F& f);

    // Returns the output for x, in `out` unless that is None. Returns None, without side effects, if something blocks the step.
    nb::object step(nb::handle x, nb::handle out) { return step_some(x, nullptr, out); }
    // Like step(), but only for `rows`: a list, a tensor or an array of distinct integers, none of them in the list `free`. Also returns
    // None for any other `rows`.
    nb::object step_rows(nb::handle x, nb::handle rows, nb::handle free, nb::handle out);

private:
    struct Guarded {
        nb::object name, value;
        std::int64_t version;
        std::uintptr_t address;
    };

    struct Place {
        std::uintptr_t address = 0;
        bool flat = false;
    };

    bool has_same_parameters() const;
    bool is_blocked() const;
    bool read_rows(nb::handle rows, nb::handle free, Rows& to) const;
    bool find_tensor(nb::handle tensor, std::int64_t N, std::int64_t features, bool writable, Place& place) const;
    bool find_array(nb::handle array, std::int64_t N, std::int64_t features, bool writable, Place& place) const;
    nb::object make_out(const Rows* rows, bool flat, bool numpy, Place& place) const;
    nb::object step_some(nb::handle x, const Rows* rows, nb::handle out);
    nb::object run(nb::handle x, const Rows* rows, nb::handle out, bool numpy);

    Kernel kernel_;
    const NumberType element_;
    const std::int64_t N_, C_, H_;
    const bool large_;
    ThreadTuner<>& tuner_;
    std::atomic<bool> running_{false};
    std::int64_t count_ = 0;
    nb::object turn_;
    nb::object parameters_;
    std::vector<Guarded> guarded_;
    std::vector<nb::object> dicts_, variables_, calls_;
    nb::object owner_, attribute_, error_, message_, keep_alive_, mark_written_;
    nb::object array_, array_dtype_, make_array_, shape_, shape_flat_;
};

void bind_stream_step(nb::module_& m);

}  // namespace hiddenstate
