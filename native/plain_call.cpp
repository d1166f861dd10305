#include "plain_call.h"

#include <algorithm>
#include <utility>

#include "objects.h"

namespace hiddenstate {
namespace {

const nb::tuple& keywords() {
    static const auto* made = new nb::tuple(nb::make_tuple(interned("dtype"), interned("device")));  // never freed
    return *made;
}

constexpr std::int64_t kGates = 4;    // the scan's own headers are compiled for one instruction set each, and not for here
constexpr std::int64_t kWeights = 5;  // of each layer and direction: ih, hh, b_ih, b_hh, hr
constexpr std::int64_t kStates = 3;   // x, h0, c0, which stand before the weights

// Of a weight of one layer and direction that reads C features.
Shape shape_of(std::int64_t weight, std::int64_t C, std::int64_t H, std::int64_t P) {
    switch (weight) {
        case 0: return {kGates * H, C};
        case 1: return {kGates * H, P};
        case 4: return {P, H};
        default: return Shape(kGates * H);
    }
}

nb::object tuple_of(const Shape& shape) {
    nb::object made = nb::steal(PyTuple_New(shape.rank));
    for (std::int32_t k = 0; made.is_valid() && k < shape.rank; ++k) {
        PyTuple_SET_ITEM(made.ptr(), k, PyLong_FromLongLong(shape.sizes[k]));
    }
    return made;
}

// The gradients that are needed, None for others, and a copy of a bias's for the other bias.
nb::object in_order(nb::handle needed, const std::vector<nb::object>& made) {
    static const auto* clone = new nb::object(interned("clone"));  // never freed
    nb::list found;
    for (std::size_t k = 0; k < made.size(); ++k) {
        const bool needs = PyTuple_GET_ITEM(needed.ptr(), static_cast<Py_ssize_t>(k)) == Py_True;
        const bool other_bias = k >= kStates && (k - kStates) % kWeights == 3;
        nb::object one = !needs       ? nb::none()
                         : other_bias ? nb::steal(PyObject_CallMethodNoArgs(made[k - 1].ptr(), clone->ptr()))
                                      : made[k];
        if (!one.is_valid()) throw nb::python_error();
        found.append(one);
    }
    return found;
}

}  // namespace

PlainCall::PlainCall(Kernel kernel, nb::dlpack::dtype element, nb::object tensor, nb::object parameter, nb::object make,
                     nb::object dtype, nb::object device, nb::object threads)
    : kernel_(std::move(kernel)), element_(element), tensor_(std::move(tensor)), parameter_(std::move(parameter)),
      make_(std::move(make)), dtype_(std::move(dtype)), device_(std::move(device)), threads_(std::move(threads)),
      exchange_(tensor_) {}

// Whether it is a tensor of torch's own, as `Exchange::find` says.
bool PlainCall::look(nb::handle tensor, nb::dlpack::dtype type, Exchange::Tensor& found) const {
    const auto* made_by = reinterpret_cast<const PyObject*>(Py_TYPE(tensor.ptr()));
    return (made_by == tensor_.ptr() || made_by == parameter_.ptr()) && exchange_.find(tensor, type, found);
}

// Where a tensor of such a shape lies without gaps, or 0.
std::uintptr_t PlainCall::find(nb::handle tensor, const Shape& shape) const {
    Exchange::Tensor found;
    const bool fits = look(tensor, element_, found) && found.ndim == shape.rank &&
                      std::equal(shape.sizes, shape.sizes + shape.rank, found.shape) && is_contiguous(found);
    return fits ? Exchange::address_of(found) : 0;
}

bool PlainCall::find_input(nb::handle x, bool batch_first, PlainJob& job, bool& single) const {
    Exchange::Tensor found;
    if (!look(x, element_, found) || (found.ndim != 2 && found.ndim != 3) || !found.strides) return false;
    single = found.ndim == 2;
    const int features = found.ndim - 1, step = !single && batch_first ? 1 : 0;
    job.x = Exchange::address_of(found);
    job.T = found.shape[step], job.x_step = found.strides[step];
    if (single) {
        job.N = 1, job.x_row = 0;
    } else {
        job.N = found.shape[1 - step], job.x_row = found.strides[1 - step];
    }
    return found.shape[features] == job.C && (job.C == 1 || found.strides[features] == 1) && job.T > 0 && job.N > 0;
}

bool PlainCall::find_state(nb::handle hx, std::int64_t tracks, bool single, PlainJob& job) const {
    if (hx.is_none()) return true;
    if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) return false;
    const auto find_one = [&](Py_ssize_t k, std::int64_t units) {
        const nb::handle value = PyTuple_GET_ITEM(hx.ptr(), k);
        return find(value, single ? Shape(tracks, units) : Shape(tracks, job.N, units));
    };
    job.h0 = find_one(0, job.P), job.c0 = find_one(1, job.H);
    return job.h0 != 0 && job.c0 != 0;
}

bool PlainCall::find_lengths(nb::handle lengths, bool single, PlainJob& job) const {
    if (lengths.is_none()) return true;
    constexpr nb::dlpack::dtype int64{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int), 64, 1};
    Exchange::Tensor found;
    const bool fits = !single && look(lengths, int64, found) && found.ndim == 1 && found.shape[0] == job.N && is_contiguous(found);
    if (!fits) return false;
    const auto* first = reinterpret_cast<const std::int64_t*>(Exchange::address_of(found));
    job.lengths.assign(first, first + job.N);
    return std::all_of(job.lengths.begin(), job.lengths.end(), [&](std::int64_t t) { return 0 <= t && t <= job.T; });
}

// The same, or nothing for None.
bool PlainCall::find_or_none(nb::handle tensor, const Shape& shape, std::uintptr_t& found) const {
    found = tensor.is_none() ? 0 : find(tensor, shape);
    return tensor.is_none() || found != 0;
}

// `get(track, k)` gives a weight, None where there is none, or nothing at all where it is not to be had.
template <class Get>
bool PlainCall::find_weights(std::int64_t tracks, const Get& get, PlainJob& job) const {
    for (std::int64_t track = 0; track < tracks; ++track) {
        const std::int64_t C = track < job.directions ? job.C : job.directions * job.P;
        for (std::int64_t k = 0; k < kWeights; ++k) {
            const nb::handle value = get(track, k);
            job.weights.push_back(0);
            if (!value.is_valid() || !find_or_none(value, shape_of(k, C, job.H, job.P), job.weights.back())) return false;
            if (value.is_none() && (k < 2 || (k == 4 && job.P < job.H))) return false;
        }
    }
    return true;
}

// A new tensor, and where it lies: 0 where that is not to be known.
nb::object PlainCall::made(const Shape& shape, std::uintptr_t& address) const {
    const nb::object sizes = tuple_of(shape);
    if (!sizes.is_valid()) throw nb::python_error();
    PyObject* const arguments[] = {sizes.ptr(), dtype_.ptr(), device_.ptr()};
    nb::object found = nb::steal(PyObject_Vectorcall(make_.ptr(), arguments, 1, keywords().ptr()));
    if (!found.is_valid()) throw nb::python_error();
    address = find(found, shape);
    return found;
}

bool PlainCall::make_kept(std::int64_t count, std::int64_t units, const PlainJob& job, nb::list& tensors,
                          Addresses& addresses) const {
    for (std::int64_t k = 0; k < count; ++k) {
        addresses.push_back(0);
        tensors.append(made(Shape(job.T, job.N, units), addresses.back()));
        if (!addresses.back()) return false;
    }
    return true;
}

nb::object PlainCall::run(nb::handle x, nb::handle hx, nb::handle lengths, nb::handle parameters, nb::handle names,
                          std::int64_t C, std::int64_t H, std::int64_t P, std::int64_t directions, bool batch_first,
                          bool keep) const {
    if (!exchange_ || !PyDict_CheckExact(parameters.ptr()) || !PyList_CheckExact(names.ptr())) return nb::none();
    const std::int64_t tracks = PyList_GET_SIZE(names.ptr());
    std::vector<nb::object> held;
    const auto weight = [&](std::int64_t track, std::int64_t k) -> nb::handle {
        const nb::handle five = PyList_GET_ITEM(names.ptr(), track);
        if (!PyList_CheckExact(five.ptr()) || PyList_GET_SIZE(five.ptr()) != kWeights) return {};
        const nb::handle name = PyList_GET_ITEM(five.ptr(), k);
        if (name.is_none()) return name;
        const nb::handle value = PyDict_GetItemWithError(parameters.ptr(), name.ptr());
        if (!value.is_valid()) return PyErr_Clear(), value;
        held.push_back(nb::borrow(value));
        return value.is_none() ? nb::handle() : value;
    };
    PlainJob job;
    bool single = false;
    job.C = C, job.H = H, job.P = P, job.directions = directions;
    if (!find_input(x, batch_first, job, single) || !find_state(hx, tracks, single, job) ||
        !find_lengths(lengths, single, job) || !find_weights(tracks, weight, job)) {
        return nb::none();
    }
    const auto make = [&](std::int64_t first, std::int64_t units, std::uintptr_t& address) {
        return made(single ? Shape(first, units) : Shape(first, job.N, units), address);
    };
    nb::object out = make(job.T, directions * P, job.out), h_n = make(tracks, P, job.h_n), c_n = make(tracks, H, job.c_n);
    if (!job.out || !job.h_n || !job.c_n) return nb::none();
    nb::list gates, c, between;
    const bool kept = !keep || (make_kept(tracks, kGates * H, job, gates, job.gates) && make_kept(tracks, H, job, c, job.c) &&
                                make_kept(tracks / directions - 1, directions * P, job, between, job.between));
    if (!kept) return nb::none();
    job.threads = nb::cast<int>(threads_(job.T, job.N, C, H));
    kernel_.run(job);
    const nb::tuple state = nb::make_tuple(h_n, c_n);
    return keep ? nb::make_tuple(out, state, nb::make_tuple(gates, c, between)) : nb::make_tuple(out, state);
}

// Room for the gradients, in the order of what they are of. Either bias has the same: that of b_hh is left to be copied.
bool PlainCall::make_gradients(nb::handle needed, std::int64_t tracks, PlainGradient& job, std::vector<nb::object>& made) const {
    const auto needs = [&](std::int64_t k) { return PyTuple_GET_ITEM(needed.ptr(), k) == Py_True; };
    const auto make = [&](bool wanted, const Shape& shape, std::uintptr_t& address) {
        made.push_back(wanted ? this->made(shape, address) : nb::none());
        return !wanted || address != 0;
    };
    if (!make(needs(0), {job.T, job.N, job.C}, job.dx) || !make(true, {tracks, job.N, job.P}, job.dh0) ||
        !make(true, {tracks, job.N, job.H}, job.dc0)) {
        return false;
    }
    for (std::int64_t track = 0; track < tracks; ++track) {
        const std::int64_t C = track < job.directions ? job.C : job.directions * job.P, first = kStates + track * kWeights;
        const bool either = needs(first + 2) || needs(first + 3);
        for (const std::int64_t k : {0, 1, 2, 4}) {
            job.dweights.push_back(0);
            if (k == 4) made.push_back(nb::none());  // b_hh
            if (!make(k == 2 ? either : needs(first + k), shape_of(k, C, job.H, job.P), job.dweights.back())) return false;
        }
    }
    return true;
}

nb::object PlainCall::gradients(nb::handle saved, nb::handle grads, nb::handle needed, std::int64_t tracks, std::int64_t C,
                                std::int64_t H, std::int64_t P, std::int64_t directions) const {
    const std::int64_t between = tracks / directions - 1, leaves = kStates + kWeights * tracks;
    const std::int64_t before = 2 + 2 * tracks + between;  // lengths, out and what was kept
    const bool fit = exchange_ && PyTuple_CheckExact(saved.ptr()) && PyTuple_GET_SIZE(saved.ptr()) == before + leaves &&
                     PyTuple_CheckExact(grads.ptr()) && PyTuple_GET_SIZE(grads.ptr()) == 3 &&
                     PyTuple_CheckExact(needed.ptr()) && PyTuple_GET_SIZE(needed.ptr()) == leaves;
    if (!fit) return nb::none();
    const auto at = [&](std::int64_t k) -> nb::handle { return PyTuple_GET_ITEM(saved.ptr(), k); };
    const auto weight = [&](std::int64_t track, std::int64_t k) { return at(before + kStates + track * kWeights + k); };
    PlainGradient job;
    bool single = false;
    job.C = C, job.H = H, job.P = P, job.directions = directions;
    if (!find_input(at(before), false, job, single) || single || !find_lengths(at(0), single, job) ||
        !find_weights(tracks, weight, job)) {
        return nb::none();
    }
    const Shape out(job.T, job.N, directions * P), h(tracks, job.N, P), c(tracks, job.N, H);
    job.h0 = find(at(before + 1), h), job.c0 = find(at(before + 2), c), job.out = find(at(1), out);
    job.dout = find(PyTuple_GET_ITEM(grads.ptr(), 0), out);
    bool found = job.h0 && job.c0 && job.out && job.dout && find_or_none(PyTuple_GET_ITEM(grads.ptr(), 1), h, job.dh_n) &&
                 find_or_none(PyTuple_GET_ITEM(grads.ptr(), 2), c, job.dc_n);
    const auto find_kept = [&](std::int64_t first, std::int64_t count, std::int64_t units, Addresses& addresses) {
        for (std::int64_t k = first; k < first + count; ++k) {
            addresses.push_back(find(at(k), {job.T, job.N, units}));
            found = found && addresses.back() != 0;
        }
    };
    find_kept(2, tracks, kGates * H, job.gates);
    find_kept(2 + tracks, tracks, H, job.c);
    find_kept(2 + 2 * tracks, between, directions * P, job.between);
    std::vector<nb::object> made;
    if (!found || !make_gradients(needed, tracks, job, made)) return nb::none();
    job.threads = nb::cast<int>(threads_(job.T, job.N, C, H));
    kernel_.gradients(job);
    return in_order(needed, made);
}

void bind_plain_call(nb::module_& m) {
    nb::class_<PlainCall>(m, "PlainCall", "plain_call.h: a call of a whole LSTM at the least cost.")
        .def("run", &PlainCall::run, nb::arg(), nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(),
             nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg())
        .def("gradients", &PlainCall::gradients);
}

}  // namespace hiddenstate
