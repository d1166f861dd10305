// One step of a stream, called from Python at the least cost.
//
// A step of a small LSTM takes about a microsecond, less than the checks around it do in Python. So they are made here:
// that nothing stands in the way (hooks, edits, torch's transformations), that the weights are those that were packed,
// and that what is given is what the kernel reads.
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
    // Reads [N, C] from the first address, writes [N, H] to the second, and the states; with so many threads.
    using Kernel = std::function<void(std::uintptr_t, std::uintptr_t, int)>;

    // `element`: of what is read and written. `large`: others may run Python meanwhile. `tuner`: decides how many threads a
    // step has; outlives this.
    StreamStep(Kernel kernel, NumberType element, std::int64_t N, std::int64_t C, std::int64_t H, bool large,
               ThreadTuner<>& tuner);

    // What must be as it is now: a parameter under its name, its version and its place in memory.
    void guard_parameters(nb::dict parameters, nb::dict named);
    // What must be empty: dicts (hooks), and context variables (edits in force, a chosen path).
    void guard_empty(std::vector<nb::object> dicts, std::vector<nb::object> variables);
    // What must return False when called, and attributes of objects that must be below zero.
    void guard_idle(std::vector<nb::object> calls, nb::object owner, nb::object attribute);
    // What is raised where two threads step at once.
    void refuse_with(nb::object error, nb::object message);
    // Arrays that a step takes: torch's, NumPy's. `flat` ones are those of a single stream without its axis.
    void take_torch(nb::object make, nb::object like, nb::object like_flat);
    void take_numpy(nb::object type, nb::object dtype, nb::object make, nb::object shape, nb::object shape_flat);

    // What the kernel reads and writes, kept alive.
    void keep(nb::object kept) { kept_ = std::move(kept); }
    // Called with a tuple of a tensor that was written, so that torch knows.
    void tell(nb::object written) { written_ = std::move(written); }

    // Makes this thread the only one in it; false where another is. Then leave().
    bool enter() { return !running_.exchange(true); }
    void leave() { running_.store(false); }

    // All Python objects that this holds, for the garbage collector.
    template <class F>
    void each_object(const F& f);

    // The output for x, in `out` if that is not None; None where something is in the way: then nothing was done.
    nb::object step(nb::handle x, nb::handle out);

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

    bool unchanged() const;
    bool nothing_in_the_way() const;
    bool find_tensor(nb::handle tensor, std::int64_t features, bool writable, Place& place) const;
    bool find_array(nb::handle array, std::int64_t features, bool writable, Place& place) const;
    nb::object run(nb::handle x, nb::handle out, bool numpy);

    Kernel kernel_;
    const NumberType element_;
    const std::int64_t N_, C_, H_;
    const bool large_;
    ThreadTuner<>& tuner_;
    std::atomic<bool> running_{false};
    nb::object parameters_;
    std::vector<Guarded> guarded_;
    std::vector<nb::object> dicts_, variables_, calls_;
    nb::object owner_, attribute_, error_, message_, kept_, written_;
    nb::object make_tensor_, like_, like_flat_;
    nb::object array_, array_dtype_, make_array_, shape_, shape_flat_;
};

void bind_stream_step(nb::module_& m);

}  // namespace hiddenstate
