// The definitions of the templates in kernel.h.
#pragma once

#include <algorithm>

#include "python/kernel.h"

namespace hiddenstate {

// The attribute names of engine.call.Call and structure.sizes.Sizes, interned once.
struct CallNames {
    nb::object sizes = interned("sizes"), weights = interned("weights"), x = interned("x"), h0 = interned("h0"), c0 = interned("c0"),
               lengths = interned("lengths"), reset = interned("reset"), reset_h = interned("reset_h"),
               reset_c = interned("reset_c"), masks = interned("masks"), reverse = interned("reverse"),
               packed_steps = interned("packed_steps"), packed_weights = interned("packed_weights"), axes = interned("axes"),
               recompute_gates = interned("recompute_gates");
};

inline const CallNames& call_names() {
    static const CallNames* found = new CallNames;  // never freed: Python may have ended when statics are destroyed
    return *found;
}

inline nb::object field(nb::handle object, const nb::object& name) {
    nb::object found = nb::steal(PyObject_GetAttr(object.ptr(), name.ptr()));
    if (!found.is_valid()) throw nb::python_error();
    return found;
}

// Reads a tuple of C, H, P and the number of directions.
template <class P>
void read_axes(nb::handle axes, Call<P>& call) {
    const nb::tuple of = nb::borrow<nb::tuple>(axes);
    call.C = nb::cast<std::int64_t>(of[0]), call.H = nb::cast<std::int64_t>(of[1]);
    call.P = nb::cast<std::int64_t>(of[2]), call.directions = nb::cast<std::int64_t>(of[3]);
}

inline void require(bool fits, const Reader& reader) {
    if (!fits) throw Refused{reader.refusal};
}

// Reads each value of a list into `to`; None counts as an empty list.
template <class T, class Read>
bool read_all(nb::handle values, std::vector<T*>& to, const Read& read) {
    if (values.is_none()) return true;
    for (const nb::handle value : values) {
        to.push_back(nullptr);
        if (!read(value, to.back())) return false;
    }
    return true;
}

// Reads and copies lengths [N], each from 0 to T.
inline bool read_lengths(Reader& reader, nb::handle value, std::int64_t T, std::int64_t N, std::vector<std::int64_t>& to) {
    if (value.is_none()) return true;
    const std::int64_t* first = nullptr;
    if (!reader.read(value, Shape(N), "lengths", first)) return false;
    to.assign(first, first + N);
    const bool fit = std::all_of(to.begin(), to.end(), [T](std::int64_t t) { return 0 <= t && t <= T; });
    const Shape shape(N);
    return fit || reader.refusal.because("lengths", "form", value, &shape);
}

template <class P>
void read_edits(nb::handle edits, CallFromPython<P>& to) {
    using real = typename P::real;
    if (edits.is_none()) return;
    Reader reader;
    std::size_t k = 0;
    for (const nb::handle of_layer : edits) {
        LayerDirection<P>& layer = to.call.layers.at(k++);
        if (of_layer.is_none()) continue;
        to.edits.push_back(std::make_unique<Edits<real>>(to.call.N));
        layer.edits = to.edits.back().get();
        for (const nb::handle one : of_layer) {
            const nb::tuple edit = nb::borrow<nb::tuple>(one);
            TensorView value;
            const bool reads = read_tensor(edit[2], value) && value.rank == 3 && value.type == number_type<real>() && value.address;
            require(reads || reader.refusal.because("edit", "form", edit[2], nullptr), reader);
            const auto stride = [&](int axis) { return value.sizes[axis] > 1 ? value.strides[axis] : 0; };
            const auto chosen = [&](int at) { return vector_of<std::int32_t>(edit[at]); };
            to.edits.back()->add(static_cast<Place>(nb::cast<int>(edit[0])), static_cast<Kind>(nb::cast<int>(edit[1])),
                                 reinterpret_cast<const real*>(value.address), stride(0), stride(1), stride(2), chosen(3), chosen(4),
                                 chosen(5));
        }
    }
}

inline nb::handle weight_of(nb::handle weights, std::int64_t k, std::int64_t weight) {
    const bool lists = PyList_Check(weights.ptr());
    if (!lists && !PyTuple_Check(weights.ptr())) throw nb::type_error("weights must be a list or a tuple");
    const nb::handle five = lists ? PyList_GET_ITEM(weights.ptr(), k) : PyTuple_GET_ITEM(weights.ptr(), k);
    if (!PyTuple_Check(five.ptr()) || PyTuple_GET_SIZE(five.ptr()) != kWeights) {
        throw nb::type_error("the weights of a layer and direction must be a tuple of five");
    }
    return PyTuple_GET_ITEM(five.ptr(), weight);
}

// Reads all of a call except its outputs and records.
template <class P>
void read_call(const Scan<P>& scan, nb::handle from, nb::handle edits, CallFromPython<P>& to) {
    const CallNames& name = call_names();
    Reader reader;
    Call<P>& call = to.call;
    const nb::object shared = field(from, name.packed_weights);
    read_axes(field(field(from, name.sizes), name.axes), call);
    call.reverse = nb::cast<bool>(field(from, name.reverse)), call.relu = scan.relu;
    const auto read = [&](const nb::object& attribute) -> nb::handle {
        to.keep_alive.push_back(field(from, attribute));
        return to.keep_alive.back();
    };
    const std::int64_t width = call.directions * call.P;
    bool single = false;
    require(reader.read_input(read(name.x), false, false, call, single), reader);
    if (shared.is_none()) {
        const nb::handle weights = read(name.weights);
        const auto weight = [&](std::int64_t k, std::int64_t which) { return weight_of(weights, k, which); };
        require(reader.read_weights(scan, PyObject_Length(weights.ptr()), weight, call), reader);
    } else {
        const auto& packed = nb::cast<const PackedWeights<P>&>(shared);
        call.layers.resize(static_cast<std::size_t>(packed.layers));
        require(packed.serve(scan, call) || reader.refusal.because("packed weights", "form", nb::none(), nullptr), reader);
        to.keep_alive.push_back(shared);
    }
    const auto count = static_cast<std::int64_t>(call.layers.size());
    require(reader.read_or_none(read(name.h0), {count, call.N, call.P}, "h0", call.h0) &&
                reader.read_or_none(read(name.c0), {count, call.N, call.H}, "c0", call.c0) &&
                read_lengths(reader, read(name.lengths), call.T, call.N, to.lengths), reader);
    call.lengths = to.lengths.empty() ? nullptr : to.lengths.data();
    const bool* reset = nullptr;
    require(reader.read_or_none(read(name.reset), {call.T, call.N}, "reset", reset), reader);
    call.reset = reinterpret_cast<const std::uint8_t*>(reset);
    require(reader.read_borders(read(name.reset_h), {count, call.N, call.P}, call.T, "reset_h", call.reset_h) &&
                reader.read_borders(read(name.reset_c), {count, call.N, call.H}, call.T, "reset_c", call.reset_c), reader);
    require(read_all(read(name.masks), call.dropout_masks, [&](nb::handle value, const auto*& at) {
        return reader.read(value, {call.T, call.N, width}, "dropout mask", at);
    }), reader);
    read_edits(edits, to);
    call.threads = threads_for(call);
}

template <class P>
PackedWeights<P>::PackedWeights(const Scan<P>& scan, nb::handle weights, std::int64_t C, std::int64_t H, std::int64_t directions)
    : scan(scan), layers(PyObject_Length(weights.ptr())), C(C), H(H), directions(directions) {
    Call<P> call;
    call.C = C, call.H = call.P = H, call.directions = directions;
    Reader reader;
    const auto weight = [&](std::int64_t k, std::int64_t which) { return weight_of(weights, k, which); };
    require(reader.read_weights(scan, layers, weight, call), reader);
    const auto allocate = [](std::size_t bytes) { return ::operator new(bytes, std::align_val_t{64}); };
    using real = typename P::real;
    const std::int64_t of_bias = scan.packed_bias_size(H);
    bytes_.reset(allocate(nbytes()));
    bias_.reset(static_cast<real*>(allocate(static_cast<std::size_t>(layers * of_bias) * sizeof(real))));
    auto* to = static_cast<unsigned char*>(bytes_.get());
    const nb::gil_scoped_release released;
    for (std::int64_t k = 0; k < layers; ++k) {
        scan.pack(call.layers[static_cast<std::size_t>(k)].weights, features(k), H, 1, to, bias_.get() + k * of_bias);
        to += scan.packed_bytes(features(k), H);
    }
}

// Runs steps on packed weights. Updates the states h0 and c0 in place.
template <class P>
nb::object forward_packed(const PackedWeights<P>& packed, nb::handle from) {
    using element = typename P::element;
    using real = typename P::real;
    const CallNames& name = call_names();
    const nb::object x = field(from, name.x), h0 = field(from, name.h0), c0 = field(from, name.c0);
    Reader reader;
    Call<P> call;
    call.C = packed.C, call.H = call.P = packed.H, call.relu = packed.scan.relu;
    call.layers.resize(static_cast<std::size_t>(packed.layers));
    bool single = false;
    require(reader.read_input(x, false, false, call, single), reader);
    const Shape states(packed.layers, call.N, packed.H);
    element* h = nullptr;
    real* c = nullptr;
    const element* input = nullptr;
    require(reader.read(x, {call.T, call.N, call.C}, "input", input) && reader.read(h0, states, "h0", h) &&
                (!packed.scan.memory || reader.read(c0, states, "c0", c)), reader);
    call.h0 = call.h_n = h, call.c0 = call.c_n = c;
    nb::object out = make(Shape(call.T, call.N, packed.H), call.out);
    // Belongs only to this call, because streams may share the packed weights.
    std::vector<element> scratch(static_cast<std::size_t>(call.N * packed.H));
    call.packed = packed.at(scratch.data(), call.N);
    call.threads = call.T > 1 ? threads_for(call) : 1;
    if (call.T * call.N * call.H * (call.C + call.H) < kWithoutGil) {
        packed.scan.forward(call);
    } else {
        run_without_gil(packed.scan, Task::kSteps, call, packed.scan.forward);
    }
    return nb::make_tuple(out, h0, c0, nb::none(), nb::none(), nb::none(), nb::none());
}

template <class P>
nb::object forward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle shown, bool gradient) {
    const nb::object packed = field(call, call_names().packed_steps);
    if (!packed.is_none()) return forward_packed(nb::cast<const PackedWeights<P>&>(packed), call);
    CallFromPython<P> from;
    read_call(scan, call, edits, from);
    const Records records{vector_of<bool>(shown), gradient, nb::cast<bool>(field(call, call_names().recompute_gates))};
    const Outputs made = make_outputs(scan, from.call, records, false);
    run_without_gil(scan, records.any() ? Task::kRecordedForward : Task::kForward, from.call, scan.forward);
    return nb::make_tuple(made.out, made.h_n, made.c_n, made.gates, made.raw_gates, made.c, made.layer_outputs);
}

// Reads the records of a forward run into the call. The gates may be None, in which case backward recomputes them.
template <class P>
void read_saved(const Scan<P>& scan, Reader& reader, nb::handle saved, Call<P>& call) {
    const nb::tuple parts = nb::borrow<nb::tuple>(saved);
    const std::int64_t width = call.directions * call.P, count = static_cast<std::int64_t>(call.layers.size());
    const Shape of_layer(call.T, call.N, width);
    require(reader.read(parts[0], of_layer, "out", call.out), reader);
    std::vector<typename P::real*> gates, c;
    require(read_all(parts[1], gates, [&](nb::handle value, auto*& at) {
        return reader.read_or_none(value, {call.T, call.N, scan.record * call.H}, "saved gates", at);
    }) && read_all(parts[2], c, [&](nb::handle value, auto*& at) {
        return !scan.memory || reader.read(value, {call.T, call.N, call.H}, "saved c", at);
    }) && read_all(parts[3], call.layer_outputs, [&](nb::handle value, auto*& at) {
        return reader.read(value, of_layer, "a layer's output", at);
    }), reader);
    const bool complete = gates.size() == call.layers.size() && c.size() == gates.size() &&
                          static_cast<std::int64_t>(call.layer_outputs.size()) == count / call.directions - 1;
    require(complete || reader.refusal.because("saved", "form", nb::none(), nullptr), reader);
    for (std::size_t k = 0; k < gates.size(); ++k) {
        LayerDirection<P>& layer = call.layers[k];
        (layer.edits ? layer.raw_gates : layer.gates) = gates[k], layer.c = c[k];
    }
}

// Sets missing initial states to zeros, because backward always reads them.
template <class P>
void begin_with_zeros(const Scan<P>& scan, CallFromPython<P>& from) {
    Call<P>& call = from.call;
    const auto count = call.layers.size() * static_cast<std::size_t>(call.N);
    if (!call.h0) from.h0.resize(count * static_cast<std::size_t>(call.P)), call.h0 = from.h0.data();
    if (scan.memory && !call.c0) from.c0.resize(count * static_cast<std::size_t>(call.H)), call.c0 = from.c0.data();
}

// Allocates memory for gradients of initial states that the caller does not need: the kernel uses it to carry gradients from step to step.
template <class P>
struct Scratch {
    std::vector<typename P::real> h0, c0;

    Scratch(const Scan<P>& scan, const Call<P>& call, const std::vector<bool>& needed, Gradients<P>& to) {
        const auto count = call.layers.size() * static_cast<std::size_t>(call.N);
        if (!needed[1]) h0.resize(count * static_cast<std::size_t>(call.P)), to.h0 = h0.data();
        if (scan.memory && !needed[2]) c0.resize(count * static_cast<std::size_t>(call.H)), to.c0 = c0.data();
    }
};

template <class P>
void read_gradients(const Scan<P>& scan, Reader& reader, const nb::tuple& grads, const Call<P>& call, Gradients<P>& to) {
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size());
    const auto read = [&](nb::handle value, const Shape& shape, const char* name, const auto*& at) {
        return value.is_none() || reader.read_or_copy(value, shape, name, at);
    };
    require(read(grads[0], {call.T, call.N, call.directions * call.P}, "grad of out", to.out) &&
                read(grads[1], {count, call.N, call.P}, "grad of h_n", to.h_n) &&
                read(grads[2], {count, call.N, call.H}, "grad of c_n", to.c_n), reader);
    to.layers.resize(static_cast<std::size_t>(count));
    std::vector<const typename P::real*> gates, c;
    require(read_all(grads[3], gates, [&](nb::handle value, const auto*& at) {
        return read(value, {call.T, call.N, scan.record * call.H}, "grad of gates", at);
    }) && read_all(grads[4], c, [&](nb::handle value, const auto*& at) {
        return read(value, {call.T, call.N, call.H}, "grad of c", at);
    }), reader);
    for (std::size_t k = 0; k < gates.size() && k < to.layers.size(); ++k) to.layers[k].gates = gates[k];
    for (std::size_t k = 0; k < c.size() && k < to.layers.size(); ++k) to.layers[k].c = c[k];
}

template <class P>
nb::object backward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle saved, nb::tuple grads,
                    nb::handle wanted) {
    if (!scan.backward) throw nb::type_error("this kernel has no backward");
    CallFromPython<P> from;
    read_call(scan, call, edits, from);
    begin_with_zeros(scan, from);
    Reader reader;
    Gradients<P> gradients;
    read_saved(scan, reader, saved, from.call);
    read_gradients(scan, reader, grads, from.call, gradients);
    std::vector<bool> needed;
    for (const nb::handle one : wanted) needed.push_back(one.ptr() == Py_True);
    const bool complete = needed.size() == kStates + kWeights * from.call.layers.size();
    require(complete || reader.refusal.because("needed", "form", nb::none(), nullptr), reader);
    const Scratch<P> scratch(scan, from.call, needed, gradients);
    const std::vector<nb::object> made = make_gradients(scan, from.call, needed, gradients);
    run_without_gil(scan, Task::kBackward, from.call, [&](const Call<P>& one) { scan.backward(one, gradients); });
    return in_order(needed, made);
}

}  // namespace hiddenstate
