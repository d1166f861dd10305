// Runs a step of an LSTMCell on the arguments as the user gave them.
#pragma once

#include <array>

#include "python/read.h"
#include "python/run.h"
#include "threads/thresholds.h"

namespace hiddenstate {

// The names of a cell's weights in its dict of parameters, interned once.
inline const std::array<nb::object, 4>& cell_weight_names() {
    static const auto* found = new std::array<nb::object, 4>{interned("weight_ih"), interned("weight_hh"), interned("bias_ih"),
                                                             interned("bias_hh")};  // never freed
    return *found;
}

// Reads the arguments of a step; false if they are not torch's own contiguous tensors of one type and of the right shapes, or if
// torch's own step would be faster.
template <class P>
bool read_cell_step(nb::handle input, nb::handle hx, nb::handle parameters, CellStep<P>& step, bool& single) {
    using element = typename P::element;
    Reader reader(true);
    TensorView x;
    if (!PyDict_CheckExact(parameters.ptr()) || !is_plain_tensor(input) || !read_tensor(input, x)) return false;
    if (x.rank != 1 && x.rank != 2) return false;
    single = x.rank == 1, step.N = single ? 1 : x.sizes[0];
    if (!kCellBounds<P>.hold(step.N, step.C, step.H)) return false;
    const auto shape = [&](std::int64_t units) { return single ? Shape(units) : Shape(step.N, units); };
    if (!reader.read(input, shape(step.C), "input", step.x)) return false;
    if (!hx.is_none()) {
        if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) return false;
        if (!reader.read(PyTuple_GET_ITEM(hx.ptr(), 0), shape(step.H), "h", step.h)) return false;
        if (!reader.read(PyTuple_GET_ITEM(hx.ptr(), 1), shape(step.H), "c", step.c)) return false;
    }
    const element** weights[] = {&step.ih, &step.hh, &step.b_ih, &step.b_hh};
    for (std::size_t k = 0; k < 4; ++k) {
        const nb::handle value = PyDict_GetItemWithError(parameters.ptr(), cell_weight_names()[k].ptr());
        if (!value.is_valid() || (k < 2 && value.is_none())) return PyErr_Clear(), false;
        const auto number = static_cast<std::int64_t>(k);
        if (!reader.read_or_none(value, weight_shape(number, step.C, step.H, step.H), kWeightNames[k], *weights[k])) return false;
    }
    return true;
}

// Returns (h, c) after a step from `hx` (None: zeros), or None, without side effects, if the arguments are not in the form that
// is read, or if torch's own step would be faster.
template <class P>
nb::object cell_step(const Scan<P>& scan, nb::handle input, nb::handle hx, nb::handle parameters, nb::tuple sizes) {
    CellStep<P> step{};
    if (!nb::try_cast(sizes[0], step.C) || !nb::try_cast(sizes[1], step.H)) return nb::none();
    bool single = false;
    if (!scan.cell_step || !has_tensor_table() || !read_cell_step(input, hx, parameters, step, single)) return nb::none();
    const std::int64_t products = step.N * step.H * (step.C + step.H);
    if (products == 0) return nb::none();
    const Shape shape = single ? Shape(step.H) : Shape(step.N, step.H);
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
