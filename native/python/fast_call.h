// A call of a whole LSTM on the arguments as the user gave them, at the least cost: in Python the checks and the making of tensors
// take longer than the scan of a short sequence does.
//
// It serves the plainest calls alone: torch's own tensors, contiguous or strided as the scan reads them, of a type in which cell states
// are kept too; nothing edited, reset or dropped. In all other cases it does nothing and returns None; the general path then decides.
#pragma once

#include "python/kernel.h"

namespace hiddenstate {

template <class P>
class FastCall {
public:
    explicit FastCall(const Scan<P>& scan) : scan_(scan) {}

    // `given`: x, hx (None or a pair), lengths (None or int64 [N]). `names`: of each layer and direction's five weights in
    // `parameters`, None for one that it has not. `sizes`: C, H, P, directions, batch_first. Gives out and (h_n, c_n), time first, without
    // N where x has none; with `record` also lists of gates, of cell states and of the outputs of all layers but the last, which have N.
    nb::object run(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, bool record) const;

private:
    bool read_state(Reader& reader, nb::handle hx, std::int64_t count, bool single, Call<P>& call) const;

    const Scan<P>& scan_;
};

template <class P>
bool FastCall<P>::read_state(Reader& reader, nb::handle hx, std::int64_t count, bool single, Call<P>& call) const {
    if (hx.is_none()) return true;
    if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) return false;
    const auto shape = [&](std::int64_t units) { return single ? Shape(count, units) : Shape(count, call.N, units); };
    return reader.read(PyTuple_GET_ITEM(hx.ptr(), 0), shape(call.P), "h0", call.h0) &&
           reader.read(PyTuple_GET_ITEM(hx.ptr(), 1), shape(call.H), "c0", call.c0);
}

template <class P>
nb::object FastCall<P>::run(nb::tuple given, nb::handle parameters, nb::handle names, nb::tuple sizes, bool record) const {
    if (!has_tensor_table() || !PyDict_CheckExact(parameters.ptr()) || !PyList_CheckExact(names.ptr())) return nb::none();
    const auto size = [&](std::size_t k) { return nb::cast<std::int64_t>(sizes[k]); };
    const std::int64_t count = PyList_GET_SIZE(names.ptr());
    const nb::handle x = given[0], hx = given[1], lengths = given[2];
    std::vector<nb::object> alive;
    const auto weight = [&](std::int64_t k, std::int64_t which) -> nb::handle {
        const nb::handle five = PyList_GET_ITEM(names.ptr(), k);
        if (!PyList_CheckExact(five.ptr()) || PyList_GET_SIZE(five.ptr()) != kWeights) return {};
        const nb::handle name = PyList_GET_ITEM(five.ptr(), which);
        if (name.is_none()) return name;
        const nb::handle value = PyDict_GetItemWithError(parameters.ptr(), name.ptr());
        if (!value.is_valid()) return PyErr_Clear(), value;
        alive.push_back(nb::borrow(value));
        return value.is_none() ? nb::handle() : value;
    };
    Reader reader(true);
    CallFromPython<P> from;
    Call<P>& call = from.call;
    call.C = size(0), call.H = size(1), call.P = size(2), call.directions = size(3);
    bool single = false;
    const bool reads = reader.read_input(x, nb::cast<bool>(sizes[4]), true, call, single) && call.T > 0 && call.N > 0 &&
                       read_state(reader, hx, count, single, call) && !(single && !lengths.is_none()) &&
                       read_lengths(reader, lengths, call.T, call.N, from.lengths) && reader.read_weights(count, weight, call);
    if (!reads) return nb::none();
    call.lengths = from.lengths.empty() ? nullptr : from.lengths.data();
    call.threads = threads_for(call);
    const Outputs made = make_outputs(call, {std::vector<bool>(record ? call.layers.size() : 0, true), false}, single);
    run_without_gil(scan_, record ? Task::kRecordedForward : Task::kForward, call, scan_.forward);
    const nb::tuple state = nb::make_tuple(made.h_n, made.c_n);
    if (!record) return nb::make_tuple(made.out, state);
    return nb::make_tuple(made.out, state, nb::make_tuple(made.gates, made.c, made.layer_outputs));
}

}  // namespace hiddenstate
