// Runs a step of a cell directly on the user's arguments.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "python/cell_check.h"
#include "python/kernel.h"
#include "python/run.h"
#include "threads/thresholds.h"

namespace hiddenstate {

// The names of a cell's weights in its dict of parameters, interned once.
inline const std::array<nb::object, kCellWeights>& cell_weight_names() {
    static const auto* found = new std::array<nb::object, kCellWeights>{interned("weight_ih"), interned("weight_hh"), interned("bias_ih"),
                                                             interned("bias_hh")};  // never freed
    return *found;
}

// Whether a step reads its units in reverse order. The steps of a cell alternate between the two orders, because the weights read last by
// the previous step are still in the cache. Cells are identified by the address of their weights; collisions only cost speed.
inline bool turn_of(const void* weights) {
    static std::array<std::atomic<bool>, 64> last;
    const auto address = reinterpret_cast<std::uintptr_t>(weights);
    std::atomic<bool>& turn = last[(address >> 6 ^ address >> 12 ^ address >> 18) % last.size()];
    const bool now = !turn.load(std::memory_order_relaxed);
    turn.store(now, std::memory_order_relaxed);
    return now;
}

// Runs the steps of cells, with one kernel for each number type that a cell may have.
class CellSteps {
public:
    CellSteps(const Scan<F32>& float32, const Scan<F64>& float64, const Scan<BF16>& bfloat16)
        : float32_(float32), float64_(float64), bfloat16_(bfloat16) {
        if (!float32.cell_step || !float64.cell_step || !bfloat16.cell_step) throw nb::type_error("a kernel has no step of a cell");
    }

    // Returns (h, c), or h if there is no cell state, after a step from `hx` (None means zeros). Returns None, without side effects, if the
    // arguments do not fit, or if something must see torch's operations. `sizes` is (C, H). With `records`,
    // returns (h, c or None, record) for use by `gradients`.
    nb::object run(nb::handle input, nb::handle hx, nb::handle parameters, nb::tuple sizes, bool records) const {
        CellReader reader(true);
        const auto compute = [&](const auto& scan, auto& step) { return run_on(scan, reader, step, records); };
        return read(reader, input, hx, parameters, sizes, compute);
    }

    // Returns the reason why `run` would return None, as the fields of a Refusal (argument, reason, value, expected); otherwise None.
    nb::object why_not(nb::handle input, nb::handle hx, nb::handle parameters, nb::tuple sizes) const {
        CellReader reader(true);
        const auto fits = [](const auto&, auto&) -> nb::object { return nb::bool_(true); };
        return read(reader, input, hx, parameters, sizes, fits).is_none() ? reader.refusal.as_tuple() : nb::none();
    }

    // Returns the gradients of a step with respect to the pre-activations (see kernel/scan.h), the input, h and c; None for those not
    // needed. `saved`: the step's record, the memory before the step (c, or h) or None, weight_ih, weight_hh. `grads`: the gradients of the
    // new h and c; None means zeros. `needed`: whether the gradients of x and h are needed. Throws Refused.
    nb::object gradients(nb::tuple saved, nb::tuple grads, nb::tuple needed) const {
        TensorView view;
        if (!read_tensor(saved[2], view)) return nb::none();
        if (view.type == kFloat32) return gradients_on(float32_, saved, grads, needed);
        if (view.type == kFloat64) return gradients_on(float64_, saved, grads, needed);
        return view.type == kBfloat16 ? gradients_on(bfloat16_, saved, grads, needed) : nb::none();
    }

private:
    // Owns the weights that a step reads, because another thread may replace them meanwhile.
    using Weights = std::array<nb::object, kCellWeights>;
    static constexpr std::int64_t kMost = std::int64_t{1} << 20;  // rows, features or units

    // Reads the arguments and returns the result of `compute`, called with the kernel and the step; None if the arguments do not fit.
    template <class Compute>
    nb::object read(CellReader& reader, nb::handle input, nb::handle hx, nb::handle parameters, nb::tuple sizes,
                    const Compute& compute) const {
        const auto refuse = [&](const char* what) { return reader.refusal.because(what, "form", nb::none(), nullptr), nb::none(); };
        if (!has_tensor_table() || is_intercepted()) return refuse("torch");
        std::int64_t C = 0, H = 0;
        if (!PyDict_CheckExact(parameters.ptr()) || !nb::try_cast(sizes[0], C) || !nb::try_cast(sizes[1], H)) return refuse("parameters");
        if (!reader.read_input(input, C)) return nb::none();
        // Without features, N could be any number, and sizes computed from it could overflow.
        if (std::min({C, H, reader.N()}) < 1 || std::max({C, H, reader.N()}) > kMost) return refuse("sizes");
        const auto on = [&](const auto& scan) { return read_on(scan, reader, hx, parameters, C, H, compute); };
        const NumberType type = reader.x.type;
        if (type == kFloat32) return on(float32_);
        if (type == kFloat64) return on(float64_);
        return type == kBfloat16 ? on(bfloat16_) : (reader.refusal.because("input", "form", input, nullptr), nb::none());
    }

    template <class P, class Compute>
    static nb::object read_on(const Scan<P>& scan, CellReader& reader, nb::handle hx, nb::handle parameters, std::int64_t C,
                              std::int64_t H, const Compute& compute) {
        Weights held;
        const auto weight = [&](std::int64_t k) -> nb::handle {
            const auto at = static_cast<std::size_t>(k);
            held[at] = nb::borrow(PyDict_GetItemWithError(parameters.ptr(), cell_weight_names()[at].ptr()));
            if (!held[at].is_valid()) PyErr_Clear();
            return held[at];
        };
        if (!reader.read_others(hx, weight, C, H, scan.gates, scan.memory)) return nb::none();
        CellStep<P> step{};
        step.N = reader.N(), step.C = C, step.H = H, step.relu = scan.relu;
        const auto take = [](const TensorView& view, const typename P::element*& to) {
            to = reinterpret_cast<const typename P::element*>(view.address);
        };
        take(reader.x, step.x), take(reader.states[0], step.h), take(reader.states[1], step.c), take(reader.weights[0], step.ih);
        take(reader.weights[1], step.hh), take(reader.weights[2], step.b_ih), take(reader.weights[3], step.b_hh);
        return compute(scan, step);
    }

    template <class P>
    static nb::object run_on(const Scan<P>& scan, const CellReader& reader, CellStep<P>& step, bool records) {
        const std::int64_t C = step.C, H = step.H, products = step.N * H * (C + H);
        const Shape shape = reader.state_shape(H);
        std::uintptr_t addresses[2] = {};
        // Each array is made before its address is passed on, because the order in which a call evaluates its arguments is unspecified.
        nb::object h = make_fixed_tensor(shape, reader.x.type, addresses[0]), c = nb::none();
        h = taken(std::move(h), addresses[0], false, step.new_h);
        if (scan.memory) c = make_fixed_tensor(shape, reader.x.type, addresses[1]), c = taken(std::move(c), addresses[1], false, step.new_c);
        const nb::object record = records ? make(Shape(step.N, (scan.record + scan.memory) * H), step.record) : nb::none();
        if (products < kWithoutGil) {
            scan.cell_step(step);
        } else {
            step.from_last = turn_of(step.hh);
            step.threads = products < kThreadedPackedStep ? 1 : nb::cast<int>(torch_api().num_threads());
            ThreadTuner<>& tuner = tuner_of({&scan, Task::kCellStep, step.N, C, H, H, 1, 1, step.threads}, false);
            const nb::gil_scoped_release released;
            tuner.run([&](int threads) {
                step.threads = threads;
                scan.cell_step(step);
            });
        }
        if (records) return nb::make_tuple(std::move(h), std::move(c), record);
        if (!scan.memory) return h;
        return nb::make_tuple(std::move(h), std::move(c));
    }

    template <class P>
    static nb::object gradients_on(const Scan<P>& scan, const nb::tuple& saved, const nb::tuple& grads, const nb::tuple& needed) {
        using element = typename P::element;
        CellGradients<P> step{};
        TensorView view;
        Reader reader;
        require((read_tensor(saved[0], view) && view.rank == 2) || reader.refusal.because("record", "form", saved[0], nullptr), reader);
        step.N = view.sizes[0], step.H = view.sizes[1] / (scan.record + scan.memory), step.relu = scan.relu;
        require((read_tensor(saved[2], view) && view.rank == 2) || reader.refusal.because("weight_ih", "form", saved[2], nullptr), reader);
        step.C = view.sizes[1];
        const std::int64_t N = step.N, H = step.H;
        const Shape states(N, H);
        const bool fits = reader.read(saved[0], Shape(N, (scan.record + scan.memory) * H), "record", step.record) &&
                          (saved[1].is_none() || reader.read_or_copy(saved[1], states, "state", step.memory)) &&
                          reader.read(saved[2], weight_shape(scan.gates, 0, step.C, H, H), "weight_ih", step.ih) &&
                          reader.read(saved[3], weight_shape(scan.gates, 1, step.C, H, H), "weight_hh", step.hh) &&
                          (grads[0].is_none() || reader.read_or_copy(grads[0], states, "grad of h", step.d_new_h)) &&
                          (!scan.memory || grads[1].is_none() || reader.read_or_copy(grads[1], states, "grad of c", step.d_new_c));
        require(fits, reader);
        const nb::object d_z = make(Shape(N, scan.slopes * H), step.d_z);
        const nb::object d_c = scan.memory ? make(states, step.d_c) : nb::none();
        const auto wanted = [&](int k, std::int64_t columns, element*& to) {
            return needed[k].ptr() == Py_True ? make(Shape(N, columns), to) : nb::none();
        };
        const nb::object d_x = wanted(0, step.C, step.d_x), d_h = wanted(1, H, step.d_h);
        const std::int64_t products = N * H * ((step.d_x ? step.C : 0) + (step.d_h ? H : 0));
        if (products < kWithoutGil) {
            scan.cell_gradients(step);
        } else {
            const int threads = products < kThreadedPackedStep ? 1 : nb::cast<int>(torch_api().num_threads());
            ThreadTuner<>& tuner = tuner_of({&scan, Task::kCellGradients, N, step.C, H, H, step.d_x ? 1 : 0, step.d_h ? 1 : 0, threads}, false);
            const nb::gil_scoped_release released;
            tuner.run([&](int threads) {
                step.threads = threads;
                scan.cell_gradients(step);
            });
        }
        return nb::make_tuple(d_z, d_x, d_h, d_c);
    }

    const Scan<F32>& float32_;
    const Scan<F64>& float64_;
    const Scan<BF16>& bfloat16_;
};

}  // namespace hiddenstate
