// Runs a step of an LSTMCell on the arguments as the user gave them.
#pragma once

#include <array>

#include "python/cell_check.h"
#include "python/run.h"
#include "threads/thresholds.h"

namespace hiddenstate {

// The names of a cell's weights in its dict of parameters, interned once.
inline const std::array<nb::object, kCellWeights>& cell_weight_names() {
    static const auto* found = new std::array<nb::object, kCellWeights>{interned("weight_ih"), interned("weight_hh"), interned("bias_ih"),
                                                             interned("bias_hh")};  // never freed
    return *found;
}

// Reads the arguments of a step; false if they are not contiguous tensors of the kernel's type that fit, or if torch's own step
// would be faster.
template <class P>
bool read_cell_step(CellReader& reader, nb::handle input, nb::handle hx, nb::handle parameters, CellStep<P>& step) {
    using element = typename P::element;
    if (!PyDict_CheckExact(parameters.ptr()) || !reader.read_input(input, step.C)) return false;
    if (reader.x.type != number_type<element>() || !kCellBounds<P>.hold(reader.N(), step.C, step.H)) return false;
    const auto weight = [&](std::int64_t k) -> nb::handle {
        const nb::object& name = cell_weight_names()[static_cast<std::size_t>(k)];
        const nb::handle value = PyDict_GetItemWithError(parameters.ptr(), name.ptr());
        if (!value.is_valid()) PyErr_Clear();
        return value;
    };
    if (!reader.read_others(hx, weight, step.C, step.H)) return false;
    const auto take = [](const TensorView& view, const element*& to) {
        to = reinterpret_cast<const element*>(view.address);
        return !to || view.is_contiguous();
    };
    step.N = reader.N();
    return take(reader.x, step.x) && take(reader.states[0], step.h) && take(reader.states[1], step.c) &&
           take(reader.weights[0], step.ih) && take(reader.weights[1], step.hh) && take(reader.weights[2], step.b_ih) &&
           take(reader.weights[3], step.b_hh);
}

// Returns (h, c) after a step from `hx` (None: zeros), or None, without side effects, if the arguments are not in the form that
// is read, or if torch's own step would be faster.
template <class P>
nb::object cell_step(const Scan<P>& scan, nb::handle input, nb::handle hx, nb::handle parameters, nb::tuple sizes) {
    CellStep<P> step{};
    if (!nb::try_cast(sizes[0], step.C) || !nb::try_cast(sizes[1], step.H)) return nb::none();
    CellReader reader;
    if (!scan.cell_step || !has_tensor_table() || !read_cell_step(reader, input, hx, parameters, step)) return nb::none();
    const std::int64_t products = step.N * step.H * (step.C + step.H);
    if (products == 0) return nb::none();
    const Shape shape = reader.state_shape(step.H);
    const nb::handle before = hx.is_none() ? nb::handle() : PyTuple_GET_ITEM(hx.ptr(), 0);
    const auto state = [&](auto*& to) { return before.is_valid() ? make_like(before, false, to) : make(shape, to); };
    nb::object h = state(step.new_h), c = state(step.new_c);
    if (products < kWithoutGil) {
        scan.cell_step(step);
    } else {
        step.threads = products < kThreadedPackedStep ? 1 : nb::cast<int>(torch_api().num_threads());
        ThreadTuner<>& tuner = tuner_of({&scan, Task::kCellStep, step.N, step.C, step.H, step.H, 1, 1, step.threads}, false);
        const nb::gil_scoped_release released;
        tuner.run([&](int threads) {
            step.threads = threads;
            scan.cell_step(step);
        });
    }
    return nb::make_tuple(h, c);
}

}  // namespace hiddenstate
