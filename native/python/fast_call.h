// Runs a call of a whole LSTM directly on the user's arguments, because in Python checking them and making tensors takes longer
// than the scan of a short sequence.
//
// It accepts the simplest calls only: torch's own tensors, contiguous or with strides that the scan reads, of a type that cell
// states have too; without edits, resets or dropout. In all other cases it returns None without side effects; the caller then
// uses the general path.
#pragma once

#include "python/kernel.h"

namespace hiddenstate {

// The arguments of a fast call, read.
template <class P>
struct FastArguments {
    CallFromPython<P> from;
    Reader reader{true};
    bool single = false;  // x is [T, C], without N
    std::vector<nb::object> keep_alive;
};

template <class P>
class FastCall {
public:
    explicit FastCall(const Scan<P>& scan) : scan_(scan) {}

    // `given`: x, hx (None or a pair), lengths (None or int64 [N]). `names`: for each layer and direction the names of its five
    // weights in `parameters`, None for a missing one. `sizes`: C, H, P, directions, batch_first. Returns out and (h_n, c_n),
    // time first, without N if x has none; with `record` also lists of gates, of cell states and of the outputs of all layers
    // but the last, always with N. `packed`: None, or the weights as they were packed before.
    nb::object run(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, bool record, nb::handle packed) const;

    // The reason for which `run` would return None: (argument, reason, value, expected shape), the fields of Refusal; else None.
    nb::object why_not(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes) const;

private:
    // Returns false, with a refusal, if the call is not one of those.
    static bool read(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, FastArguments<P>& to);
    static bool read_state(Reader& reader, nb::handle hx, std::int64_t count, bool single, Call<P>& call);

    const Scan<P>& scan_;
};

template <class P>
bool FastCall<P>::read_state(Reader& reader, nb::handle hx, std::int64_t count, bool single, Call<P>& call) {
    if (hx.is_none()) return true;
    if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) {
        return reader.refusal.because("hx", "form", hx, nullptr);
    }
    const auto shape = [&](std::int64_t units) { return single ? Shape(count, units) : Shape(count, call.N, units); };
    return reader.read(PyTuple_GET_ITEM(hx.ptr(), 0), shape(call.P), "h0", call.h0) &&
           reader.read(PyTuple_GET_ITEM(hx.ptr(), 1), shape(call.H), "c0", call.c0);
}

template <class P>
bool FastCall<P>::read(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, FastArguments<P>& to) {
    Reader& reader = to.reader;
    const auto refuse = [&](const char* argument) { return reader.refusal.because(argument, "form", nb::none(), nullptr); };
    if (!has_tensor_table()) return refuse("torch");
    if (!PyDict_CheckExact(parameters.ptr()) || !PyList_CheckExact(names.ptr())) return refuse("parameters");
    const auto size = [&](std::size_t k) { return nb::cast<std::int64_t>(sizes[k]); };
    const std::int64_t count = PyList_GET_SIZE(names.ptr());
    const nb::handle lengths = given[2];
    const auto weight = [&](std::int64_t k, std::int64_t which) -> nb::handle {
        const nb::handle five = PyList_GET_ITEM(names.ptr(), k);
        if (!PyList_CheckExact(five.ptr()) || PyList_GET_SIZE(five.ptr()) != kWeights) return {};
        const nb::handle name = PyList_GET_ITEM(five.ptr(), which);
        if (name.is_none()) return name;
        const nb::handle value = PyDict_GetItemWithError(parameters.ptr(), name.ptr());
        if (!value.is_valid()) return PyErr_Clear(), value;
        to.keep_alive.push_back(nb::borrow(value));
        return value.is_none() ? nb::handle() : value;
    };
    Call<P>& call = to.from.call;
    call.C = size(0), call.H = size(1), call.P = size(2), call.directions = size(3);
    if (!reader.read_input(given[0], nb::cast<bool>(sizes[4]), true, call, to.single)) return false;
    if (call.T <= 0 || call.N <= 0) return refuse("input");
    if (to.single && !lengths.is_none()) return refuse("lengths");
    return read_state(reader, given[1], count, to.single, call) &&
           read_lengths(reader, lengths, call.T, call.N, to.from.lengths) && reader.read_weights(count, weight, call);
}

template <class P>
nb::object FastCall<P>::run(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, bool record,
                            nb::handle packed) const {
    FastArguments<P> arguments;
    if (!read(given, parameters, names, sizes, arguments)) return nb::none();
    Call<P>& call = arguments.from.call;
    if (!packed.is_none() && !nb::cast<const PackedWeights<P>&>(packed).serve(scan_, call)) return nb::none();
    call.lengths = arguments.from.lengths.empty() ? nullptr : arguments.from.lengths.data();
    call.threads = threads_for(call);
    const Records records{std::vector<bool>(record ? call.layers.size() : 0, true)};
    const Outputs made = make_outputs(call, records, arguments.single);
    run_without_gil(scan_, record ? Task::kRecordedForward : Task::kForward, call, scan_.forward);
    const nb::tuple state = nb::make_tuple(made.h_n, made.c_n);
    if (!record) return nb::make_tuple(made.out, state);
    return nb::make_tuple(made.out, state, nb::make_tuple(made.gates, made.c, made.layer_outputs));
}

template <class P>
nb::object FastCall<P>::why_not(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes) const {
    FastArguments<P> arguments;
    return read(given, parameters, names, sizes, arguments) ? nb::none() : arguments.reader.refusal.as_tuple();
}

}  // namespace hiddenstate
