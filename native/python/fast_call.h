// Runs a call of a whole LSTM directly on the user's arguments: in Python, checking them and creating tensors takes longer than the scan of
// a short sequence.
//
// It accepts only the simplest calls: plain torch tensors of one number type, contiguous or with strides that the scan can read, without
// edits, resets or dropout; in float16 also without records. In all other cases it returns None without side effects, and the
// caller uses the general path. What the scan reads as float32 is widened first, and its results are rounded: in bfloat16 the biases and
// cell states, in float16, for which there is no scan, everything (matrices of weights while they are packed).
#pragma once

#include "python/kernel.h"

namespace hiddenstate {

// The arguments of a fast call, converted.
template <class P>
class FastArguments {
public:
    FastArguments(const Scan<P>& scan, NumberType given) : reader(true, given, widening(scan)), given_(given), scan_(scan) {}

    CallFromPython<P> from;
    Reader reader;
    bool single = false;  // x is [T, C], without an N axis
    bool record = false;

    // Returns false and sets a refusal if the call is not one of those.
    bool read(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options);

private:
    bool read_state(nb::handle hx, std::int64_t count);
    bool read_weights(nb::handle weights, nb::handle names);
    static Reader::Widen widening(const Scan<P>& scan) {
        if constexpr (std::is_same_v<typename P::real, float>) return scan.widen;
        return nullptr;
    }
    bool refuse(const char* argument) { return reader.refusal.because(argument, "form", nb::none(), nullptr); }

    const NumberType given_;
    const Scan<P>& scan_;
};

template <class P>
class FastCall {
public:
    explicit FastCall(const Scan<P>& scan, NumberType given = number_type<typename P::element>()) : scan_(scan), given_(given) {}

    // `given`: x, hx (None, a pair or, without a cell state, one tensor), lengths (None or int64 [N]). `weights`: a dict of all weights by
    // name, or weights packed beforehand. `names`: for each layer and direction, the names of its five weights, None for a missing one.
    // `sizes`: C, H, P, directions. `options`: batch_first, training, record. Returns out and (h_n, c_n), time first, without an N axis if
    // x has none. With record, it also returns lists of the gates, the cell states and the outputs of all layers except the last, always
    // with an N axis.
    nb::object run(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options) const;

    // Returns the reason why `run` would return None, as the fields of a Refusal (argument, reason, value, expected shape); otherwise None.
    nb::object why_not(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options) const;

private:
    nb::object run_narrow(FastArguments<P>& arguments) const;

    const Scan<P>& scan_;
    const NumberType given_;
};

template <class P>
bool FastArguments<P>::read_state(nb::handle hx, std::int64_t count) {
    if (hx.is_none()) return true;
    Call<P>& call = from.call;
    const auto shape = [&](std::int64_t units) { return single ? Shape(count, units) : Shape(count, call.N, units); };
    if (!scan_.memory) return reader.read(hx, shape(call.P), "h0", call.h0);
    if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) {
        return reader.refusal.because("hx", "form", hx, nullptr);
    }
    return reader.read(PyTuple_GET_ITEM(hx.ptr(), 0), shape(call.P), "h0", call.h0) &&
           reader.read(PyTuple_GET_ITEM(hx.ptr(), 1), shape(call.H), "c0", call.c0);
}

// Reads the weights of each layer and direction, by name or packed beforehand.
template <class P>
bool FastArguments<P>::read_weights(nb::handle weights, nb::handle names) {
    const std::int64_t count = PyList_GET_SIZE(names.ptr());
    if (!PyDict_CheckExact(weights.ptr())) {
        from.call.layers.resize(static_cast<std::size_t>(count));
        return nb::cast<const PackedWeights<P>&>(weights).serve(scan_, from.call) || refuse("packed weights");
    }
    const auto weight = [&](std::int64_t k, std::int64_t which) -> nb::handle {
        const nb::handle five = PyList_GET_ITEM(names.ptr(), k);
        if (!PyList_CheckExact(five.ptr()) || PyList_GET_SIZE(five.ptr()) != kWeights) return {};
        const nb::handle name = PyList_GET_ITEM(five.ptr(), which);
        if (name.is_none()) return name;
        const nb::handle value = PyDict_GetItemWithError(weights.ptr(), name.ptr());
        if (!value.is_valid()) return PyErr_Clear(), value;
        from.keep_alive.push_back(nb::borrow(value));
        return value.is_none() ? nb::handle() : value;
    };
    return reader.read_weights(scan_, count, weight, from.call);
}

template <class P>
bool FastArguments<P>::read(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options) {
    if (!has_tensor_table()) return refuse("torch");
    const bool knows = PyDict_CheckExact(weights.ptr()) || nb::isinstance<PackedWeights<P>>(weights);
    if (!knows || !PyList_CheckExact(names.ptr())) return refuse("parameters");
    const std::int64_t count = PyList_GET_SIZE(names.ptr());
    const nb::handle lengths = given[2];
    Call<P>& call = from.call;
    read_axes(sizes, call);
    call.relu = scan_.relu;
    record = is_true(options[2]);
    if (record && given_ == kFloat16) return refuse("records");
    if (!reader.read_input(given[0], is_true(options[0]), true, call, single)) return false;
    if (call.T <= 0 || call.N <= 0) return refuse("input");
    if (single && !lengths.is_none()) return refuse("lengths");
    return read_state(given[1], count) && read_lengths(reader, lengths, call.T, call.N, from.lengths) &&
           read_weights(weights, names);
}

template <class P>
nb::object FastCall<P>::run(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options) const {
    FastArguments<P> arguments(scan_, given_);
    if (!arguments.read(given, weights, names, sizes, options)) return nb::none();
    Call<P>& call = arguments.from.call;
    call.lengths = arguments.from.lengths.empty() ? nullptr : arguments.from.lengths.data();
    call.threads = threads_for(call);
    const bool record = arguments.record;
    if (given_.bits == 16 && !record) return run_narrow(arguments);
    const Records records{std::vector<bool>(record ? call.layers.size() : 0, true)};
    const Outputs made = make_outputs(scan_, call, records, arguments.single);
    run_without_gil(scan_, record ? Task::kRecordedForward : Task::kForward, call, scan_.forward);
    const nb::object state = scan_.memory ? nb::make_tuple(made.h_n, made.c_n) : made.h_n;
    if (!record) return nb::make_tuple(made.out, state);
    return nb::make_tuple(made.out, state, nb::make_tuple(made.gates, made.c, made.layer_outputs));
}

// In half precision: what the scan writes as float32 is rounded afterwards.
template <class P>
nb::object FastCall<P>::run_narrow(FastArguments<P>& arguments) const {
    using half = std::conditional_t<std::is_same_v<typename P::element, bfloat16>, bfloat16, float16>;
    struct Rounded {
        std::unique_ptr<typename P::real[]> from;
        half* to;
        std::int64_t count;
    };
    Call<P>& call = arguments.from.call;
    std::vector<Rounded> rounded;
    const auto result = [&](std::int64_t first, std::int64_t units, auto*& to) {
        const Shape shape = arguments.single ? Shape(first, units) : Shape(first, call.N, units);
        if constexpr (sizeof *to == sizeof(half)) return make(shape, to);
        half* at = nullptr;
        nb::object made = make(shape, at);
        const std::int64_t count = first * call.N * units;
        rounded.push_back({std::unique_ptr<typename P::real[]>(new typename P::real[static_cast<std::size_t>(count)]), at, count});
        to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(rounded.back().from.get());
        return made;
    };
    const std::int64_t count = static_cast<std::int64_t>(call.layers.size());
    const nb::object out = result(call.T, call.directions * call.P, call.out), h_n = result(count, call.P, call.h_n);
    const nb::object c_n = scan_.memory ? result(count, call.H, call.c_n) : nb::none();
    run_without_gil(scan_, Task::kForward, call, scan_.forward);
    for (const Rounded& one : rounded) scan_.narrow(one.from.get(), one.to, one.count);
    return nb::make_tuple(out, scan_.memory ? nb::make_tuple(h_n, c_n) : h_n);
}

template <class P>
nb::object FastCall<P>::why_not(nb::tuple given, nb::handle weights, nb::handle names, nb::tuple sizes, nb::tuple options) const {
    FastArguments<P> arguments(scan_, given_);
    return arguments.read(given, weights, names, sizes, options) ? nb::none() : arguments.reader.refusal.as_tuple();
}

}  // namespace hiddenstate
