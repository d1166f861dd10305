// Reads a call of an LSTM from Python objects into the kernel's structs, and checks every type, shape and stride. (stream_step.cpp reads
// and checks the steps of a stream.)
//
// An argument that does not fit causes a Refusal before anything is computed. The Python code then converts the argument and calls again,
// or raises an error that names it.
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernel/scan.h"
#include "python/python_api.h"
#include "python/tensor_access.h"

namespace hiddenstate {

template <class T>
constexpr NumberType number_type() {
    if constexpr (std::is_same_v<T, float>) return kFloat32;
    else if constexpr (std::is_same_v<T, double>) return kFloat64;
    else if constexpr (std::is_same_v<T, bfloat16>) return kBfloat16;
    else if constexpr (std::is_same_v<T, float16>) return kFloat16;
    else if constexpr (std::is_same_v<T, std::int64_t>) return kInt64;
    else return kBool;
}

// The first argument that did not fit. `expected` is the expected shape, a tuple, or None if the shape is not the problem.
struct Refusal {
    const char* argument = "";
    const char* reason = nullptr;  // "shape"; "memory" (freed or missing); or "form" (wrong type, not contiguous, or not on the CPU)
    nb::object value, expected;

    bool because(const char* name, const char* why, nb::handle what, const Shape* shape) {
        argument = name, reason = why, value = nb::borrow(what), expected = nb::none();
        if (shape) {
            nb::list sizes;
            for (int k = 0; k < shape->rank; ++k) sizes.append(shape->sizes[k]);
            expected = nb::tuple(sizes);
        }
        return false;
    }

    // (argument, reason, value, expected)
    nb::object as_tuple() const {
        const auto or_none = [](const nb::object& one) { return one.is_valid() ? one : nb::none(); };
        return nb::make_tuple(argument, reason ? reason : "form", or_none(value), or_none(expected));
    }
};

constexpr std::int64_t kWeights = 5;      // weights per layer and direction: ih, hh, b_ih, b_hh, hr
constexpr const char* kWeightNames[kWeights] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"};
constexpr std::int64_t kStates = 5;       // x, h0, c0, reset_h, reset_c: their gradients precede those of the weights

// The shape of a weight of one layer and direction that reads C features, for a cell with `gates` gates.
inline Shape weight_shape(std::int64_t gates, std::int64_t weight, std::int64_t C, std::int64_t H, std::int64_t P) {
    switch (weight) {
        case 0: return {gates * H, C};
        case 1: return {gates * H, P};
        case 4: return {P, H};
        default: return Shape(gates * H);
    }
}

// Calls a method of a tensor without arguments, which returns another tensor.
inline nb::object tensor_from(nb::handle tensor, const char* method) {
    nb::object made = nb::steal(PyObject_CallMethodNoArgs(tensor.ptr(), interned(method).ptr()));
    if (!made.is_valid()) throw nb::python_error();
    return made;
}

// Reads tensors, and keeps the refusal of the first that does not fit. With `plain`, it rejects subclasses of torch.Tensor. Where the kernel
// reads float32, tensors have the type `given`, and are widened if it is another.
class Reader {
public:
    using Widen = void (*)(const void* from, float* to, std::int64_t n);

    explicit Reader(bool plain = false, NumberType given = kFloat32, Widen widen = nullptr) : plain_(plain), given_(given), widen_(widen) {}

    Refusal refusal;

    // Reads a contiguous tensor of a given shape.
    template <class T>
    bool read(nb::handle value, const Shape& shape, const char* name, T*& to) {
        TensorView view;
        using Number = std::remove_const_t<T>;
        if (!look(value, number_type<Number>(), name, &shape, view)) return false;
        if (!view.is_of(shape)) return refusal.because(name, "shape", value, &shape);
        if (!view.is_contiguous()) return refusal.because(name, "form", value, &shape);
        return has_memory(view, value, name, &shape, to);
    }

    // Like read(), but makes a contiguous copy if needed, because gradients of sums are often expanded tensors. Keeps the copy alive.
    template <class T>
    bool read_or_copy(nb::handle value, const Shape& shape, const char* name, T*& to) {
        if (read(value, shape, name, to)) return true;
        TensorView view;
        const bool copies = !value.is_none() && read_tensor(value, view) && view.is_of(shape) && !view.is_contiguous();
        if (!copies) return false;
        copies_.push_back(tensor_from(value, "contiguous"));
        return read(copies_.back(), shape, name, to);
    }

    // Like read(), but None becomes null.
    template <class T>
    bool read_or_none(nb::handle value, const Shape& shape, const char* name, T*& to) {
        to = nullptr;
        return value.is_none() || read(value, shape, name, to);
    }

    // Reads the input [T, N, C], whose features must be contiguous. With `allow_single`, also accepts [T, C], which sets `single`.
    template <class P>
    bool read_input(nb::handle value, bool batch_first, bool allow_single, Call<P>& call, bool& single) {
        using element = typename P::element;
        TensorView view;
        if (!look(value, number_type<element>(), "input", nullptr, view)) return false;
        single = view.rank == 2 && allow_single;
        if ((view.rank != 3 && !single) || view.sizes[view.rank - 1] != call.C) return refusal.because("input", "shape", value, nullptr);
        const int features = view.rank - 1, step = !single && batch_first ? 1 : 0;
        if (call.C > 1 && view.strides[features] != 1) return refusal.because("input", "form", value, nullptr);
        call.T = view.sizes[step], call.x_step = view.strides[step];
        call.N = single ? 1 : view.sizes[1 - step], call.x_row = single ? 0 : view.strides[1 - step];
        return has_memory(view, value, "input", nullptr, call.x);
    }

    // Reads the states of borders, [count, N, units] or [count, T * N, units], whose units must be contiguous; None becomes null.
    template <class Number>
    bool read_borders(nb::handle value, const Shape& by_row, std::int64_t T, const char* name, BorderStates<Number>& to) {
        if (value.is_none()) return true;
        const std::int64_t N = by_row.sizes[1];
        const Shape by_step(by_row.sizes[0], T * N, by_row.sizes[2]);
        TensorView view;
        if (!look(value, number_type<std::remove_const_t<Number>>(), name, &by_row, view)) return false;
        to.by_step = !view.is_of(by_row);
        if (to.by_step && !view.is_of(by_step)) return refusal.because(name, "shape", value, &by_row);
        if (by_row.sizes[2] > 1 && view.strides[2] != 1) return refusal.because(name, "form", value, &by_row);
        to.layer = view.strides[0], to.row = view.strides[1], to.step = to.by_step ? N * to.row : 0;
        return has_memory(view, value, name, &by_row, to.first);
    }

    // Reads the weights of `count` layers and directions. `get(k, weight)` returns a weight, None if there is none, or null on failure.
    template <class P, class Get>
    bool read_weights(const Scan<P>& scan, std::int64_t count, const Get& get, Call<P>& call) {
        for (std::int64_t k = 0; k < count; ++k) {
            const std::int64_t C = k < call.directions ? call.C : call.directions * call.P;
            LayerDirection<P> layer{};
            const auto one = [&](std::int64_t weight, auto*& to) {
                const nb::handle value = get(k, weight);
                const Shape shape = weight_shape(scan.gates, weight, C, call.H, call.P);
                const bool needed = weight < 2 || (weight == 4 && call.P < call.H);
                if (!value.is_valid() || (value.is_none() && needed)) {
                    return refusal.because(kWeightNames[weight], "shape", nb::none(), &shape);
                }
                return read_or_none(value, shape, kWeightNames[weight], to);
            };
            auto& w = layer.weights;
            const bool matrices = given_ == kFloat16 ? one(0, w.half_ih) && one(1, w.half_hh) : one(0, w.ih) && one(1, w.hh);
            if (!matrices || !one(2, w.b_ih) || !one(3, w.b_hh) || !one(4, w.hr)) return false;
            call.layers.push_back(layer);
        }
        return true;
    }

private:
    bool look(nb::handle value, NumberType type, const char* name, const Shape* shape, TensorView& view) {
        const bool widens = type == kFloat32 && given_ != kFloat32;
        bool reads = (!plain_ || is_plain_tensor(value)) && read_tensor(value, view) && view.type == (widens ? given_ : type);
        if (reads && widens && view.address) {
            const std::int64_t count = view.count();
            if (widen_ && count == view.span()) {
                widened_.emplace_back(new float[static_cast<std::size_t>(count)]);
                widen_(reinterpret_cast<const void*>(view.address), widened_.back().get(), count);
                view.address = reinterpret_cast<std::uintptr_t>(widened_.back().get());
            } else {  // between its numbers are others
                copies_.push_back(tensor_from(value, "float"));
                reads = read_tensor(copies_.back(), view);
            }
        }
        return reads || refusal.because(name, "form", value, shape);
    }

    template <class T>
    bool has_memory(const TensorView& view, nb::handle value, const char* name, const Shape* shape, T*& to) {
        to = reinterpret_cast<T*>(view.address);
        return to || view.is_empty() || refusal.because(name, "memory", value, shape);
    }

    const bool plain_;
    const NumberType given_;
    const Widen widen_;
    std::vector<nb::object> copies_;
    std::vector<std::unique_ptr<float[]>> widened_;
};

// The tensors that a forward run returns.
struct Outputs {
    nb::object out, h_n, c_n = nb::none();
    // Lists with an entry for each layer and direction (for layer_outputs, each layer except the last), or None if not recorded.
    nb::object gates = nb::none(), raw_gates = nb::none(), c = nb::none(), layer_outputs = nb::none();
};

// Takes the address of a new tensor. Throws if the tensor has no memory, as happens under some of torch's modes.
template <class T>
nb::object taken(nb::object made, std::uintptr_t address, bool empty, T*& to) {
    if (!address && !empty) throw nb::type_error("torch.empty gave a tensor without memory of its own on the CPU");
    to = reinterpret_cast<T*>(address);
    return made;
}

// Makes a tensor.
template <class T>
nb::object make(const Shape& shape, T*& to) {
    std::uintptr_t address = 0;
    nb::object made = make_tensor(shape, number_type<T>(), address);
    const bool empty = std::find(shape.sizes, shape.sizes + shape.rank, 0) != shape.sizes + shape.rank;
    return taken(std::move(made), address, empty, to);
}

// Which records a run makes: the gates after edits are for the user, those before edits for the backward pass.
struct Records {
    std::vector<bool> shown;  // whether the user needs them, for each layer and direction; or empty
    bool gradient = false;
    bool recomputes = false;  // whether backward recomputes the gates, which are then not recorded for it

    bool any() const { return gradient || std::find(shown.begin(), shown.end(), true) != shown.end(); }
};

// Creates the outputs and records of a call. With `single`, the outputs have no N axis.
template <class P>
Outputs make_outputs(const Scan<P>& scan, Call<P>& call, const Records& records, bool single) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size()), width = call.directions * call.P;
    const auto shape = [&](std::int64_t first, std::int64_t units) {
        return single ? Shape(first, units) : Shape(first, call.N, units);
    };
    Outputs made;
    made.out = make(shape(call.T, width), call.out);
    made.h_n = make(shape(count, call.P), call.h_n);
    if (scan.memory) made.c_n = make(shape(count, call.H), call.c_n);
    if (!records.any()) return made;
    nb::list gates, raw_gates, c, layer_outputs;
    for (std::size_t k = 0; k < call.layers.size(); ++k) {
        LayerDirection<P>& layer = call.layers[k];
        const bool shown = k < records.shown.size() && records.shown[k], kept = records.gradient && !records.recomputes;
        const bool raw = kept && layer.edits;
        const Shape of_gates(call.T, call.N, scan.record * call.H);
        gates.append(shown || (kept && !raw) ? make(of_gates, layer.gates) : nb::none());
        raw_gates.append(raw ? make(of_gates, layer.raw_gates) : nb::none());
        c.append(scan.memory && (shown || records.gradient) ? make(Shape(call.T, call.N, call.H), layer.c) : nb::none());
    }
    for (std::int64_t k = call.directions; k < count; k += call.directions) {
        call.layer_outputs.push_back(nullptr);
        layer_outputs.append(make(Shape(call.T, call.N, width), call.layer_outputs.back()));
    }
    made.gates = gates, made.raw_gates = raw_gates, made.c = c, made.layer_outputs = layer_outputs;
    return made;
}

// Creates the gradient of the borders' states, initially zero.
template <class P, class State>
nb::object make_of_borders(const Call<P>& call, const BorderStates<State>& of, std::int64_t units, BorderStates<typename P::real>& to) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size()), each = of.by_step ? call.T * call.N : call.N;
    to.by_step = of.by_step, to.layer = each * units, to.step = of.by_step ? call.N * units : 0, to.row = units;
    nb::object made = make(Shape(count, each, units), to.first);
    std::fill_n(to.first, count * each * units, typename P::real{});
    return made;
}

// Creates the gradients that are `needed`, in the order x, h0, c0, reset_h, reset_c, then the weights of each layer and direction; None for
// others. If both biases have the same gradient, it is created once, for b_ih, and `in_order` copies it for b_hh.
template <class P>
std::vector<nb::object> make_gradients(const Scan<P>& scan, const Call<P>& call, const std::vector<bool>& needed, Gradients<P>& to) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size());
    std::vector<nb::object> made;
    const auto add = [&](bool wanted, const Shape& shape, auto*& at) { made.push_back(wanted ? make(shape, at) : nb::none()); };
    add(needed[0], {call.T, call.N, call.C}, to.x);
    add(needed[1], {count, call.N, call.P}, to.h0), add(needed[2], {count, call.N, call.H}, to.c0);
    made.push_back(needed[3] ? make_of_borders(call, call.reset_h, call.P, to.reset_h) : nb::none());
    made.push_back(needed[4] ? make_of_borders(call, call.reset_c, call.H, to.reset_c) : nb::none());
    for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t C = k < call.directions ? call.C : call.directions * call.P;
        const auto needs = [&](std::int64_t weight) { return needed[static_cast<std::size_t>(kStates + k * kWeights + weight)]; };
        LayerGradients<P>& layer = to.layers[static_cast<std::size_t>(k)];
        const auto shape = [&](std::int64_t weight) { return weight_shape(scan.gates, weight, C, call.H, call.P); };
        add(needs(0), shape(0), layer.ih), add(needs(1), shape(1), layer.hh);
        add(needs(2) || (needs(3) && !scan.own_biases), shape(2), layer.bias);
        add(needs(3) && scan.own_biases, shape(3), layer.bias_hh);
        add(needs(4), shape(4), layer.hr);
    }
    return made;
}

// Returns the list of gradients in the order that Python expects.
inline nb::list in_order(const std::vector<bool>& needed, const std::vector<nb::object>& made) {
    nb::list found;
    for (std::size_t k = 0; k < made.size(); ++k) {
        const bool other_bias = k >= kStates && (k - kStates) % kWeights == 3 && made[k].is_none();
        found.append(!needed[k] ? nb::none() : other_bias ? tensor_from(made[k - 1], "clone") : made[k]);
    }
    return found;
}

}  // namespace hiddenstate
