#include "python/stream_step.h"

#include <utility>

#include "python/block.h"
#include "python/python_api.h"

namespace hiddenstate {
namespace {

// Attribute names, interned once.
struct Names {
    nb::object dtype = interned("dtype"), shape = interned("shape"), requires_grad = interned("requires_grad");
};

const Names& names() {
    static const Names* found = new Names;  // never freed: Python may have ended when statics are destroyed
    return *found;
}

// Whether a shape is [N, features] or, for a stream with one row, [features]; the latter sets `flat`.
template <class Size>
bool fits(std::int64_t rank, const Size& size, std::int64_t N, std::int64_t features, bool& flat) {
    flat = rank == 1;
    return (rank == 1 && N == 1 && size(0) == features) || (rank == 2 && size(0) == N && size(1) == features);
}

bool fits(nb::handle shape, std::int64_t N, std::int64_t features, bool& flat) {
    if (!shape.is_valid() || !PyTuple_Check(shape.ptr())) return false;
    const auto size = [&](Py_ssize_t k) { return PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), k)); };
    return fits(PyTuple_GET_SIZE(shape.ptr()), size, N, features, flat);
}

bool fits(const TensorView& tensor, std::int64_t N, std::int64_t features, bool& flat) {
    return fits(tensor.rank, [&](std::int64_t k) { return tensor.sizes[k]; }, N, features, flat);
}

}  // namespace

StreamStep::StreamStep(Kernel kernel, NumberType element, std::int64_t N, std::int64_t C, std::int64_t H, bool large,
                       ThreadTuner<>& tuner)
    : kernel_(std::move(kernel)), element_(element), N_(N), C_(C), H_(H), large_(large), tuner_(tuner) {}

void StreamStep::guard_parameters(nb::dict parameters, nb::dict named) {
    for (auto [name, value] : named) {
        nb::object key = nb::borrow(name);
        for (auto [own, _] : parameters) {  // the dict's own key object, which is found by identity without comparing characters
            if (own.equal(name)) key = nb::borrow(own);
        }
        guarded_.push_back({key, nb::borrow(value), version_of_tensor(value), address_of_tensor(value)});
    }
    parameters_ = std::move(parameters);
}

void StreamStep::guard_empty(nb::list dicts, nb::list variables) {
    dicts_ = vector_of<nb::object>(dicts), variables_ = vector_of<nb::object>(variables);
}

void StreamStep::guard_idle(nb::sequence calls, nb::object owner, nb::object attribute) {
    calls_ = vector_of<nb::object>(calls), owner_ = std::move(owner), attribute_ = std::move(attribute);
}

void StreamStep::refuse_with(nb::object error, nb::object message) {
    error_ = std::move(error), message_ = std::move(message);
}

void StreamStep::take_numpy(nb::object type, nb::object dtype, nb::object make, nb::object shape, nb::object shape_flat) {
    array_ = std::move(type), array_dtype_ = std::move(dtype), make_array_ = std::move(make);
    shape_ = std::move(shape), shape_flat_ = std::move(shape_flat);
}

bool StreamStep::has_same_parameters() const {
    for (const Guarded& one : guarded_) {
        if (PyDict_GetItem(parameters_.ptr(), one.name.ptr()) != one.value.ptr()) return false;
        if (one.version >= 0 && version_of_tensor(one.value) != one.version) return false;
        if (address_of_tensor(one.value) != one.address) return false;
    }
    return true;
}

bool StreamStep::is_blocked() const {
    for (const nb::object& dict : dicts_) {
        if (PyDict_Size(dict.ptr()) != 0) return true;
    }
    for (const nb::object& variable : variables_) {
        PyObject* held = nullptr;
        if (PyContextVar_Get(variable.ptr(), nullptr, &held) < 0) PyErr_Clear();
        const nb::object value = nb::steal(held);
        if (!value.is_valid() || is_any_open(value)) return true;
    }
    for (const nb::object& idle : calls_) {
        const nb::object said = nb::steal(PyObject_CallNoArgs(idle.ptr()));
        if (!said.is_valid()) drop_unavailable();
        if (!said.is_valid() || is_true(said)) return true;
    }
    const nb::object level = attribute(owner_, attribute_);
    const long long now = level.is_valid() ? PyLong_AsLongLong(level.ptr()) : 0;
    if (now == -1 && PyErr_Occurred()) return PyErr_Clear(), true;
    return now >= 0;
}

// Reads row indices from a list, a tensor or an array; returns false if they are not integers, or if there are none.
bool StreamStep::read_rows(nb::handle rows, nb::handle free, Rows& to) const {
    TensorView view;
    Py_buffer buffer;
    if (PyList_CheckExact(rows.ptr())) {
        for (Py_ssize_t k = 0; k < PyList_GET_SIZE(rows.ptr()); ++k) {
            const nb::handle one = PyList_GET_ITEM(rows.ptr(), k);
            if (!PyLong_CheckExact(one.ptr())) return false;
            to.push_back(PyLong_AsLongLong(one.ptr()));
            if (PyErr_Occurred()) return PyErr_Clear(), false;
        }
    } else if (array_.is_valid() && reinterpret_cast<PyObject*>(Py_TYPE(rows.ptr())) == array_.ptr()) {
        if (PyObject_GetBuffer(rows.ptr(), &buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0) return PyErr_Clear(), false;
        const auto* first = static_cast<const std::int64_t*>(buffer.buf);
        const bool whole = buffer.ndim == 1 && buffer.itemsize == 8 && buffer.format && (*buffer.format == 'l' || *buffer.format == 'q');
        if (whole) to.assign(first, first + buffer.shape[0]);
        PyBuffer_Release(&buffer);
    } else if (is_plain_tensor(rows) && read_tensor(rows, view) && view.rank == 1 && view.type == kInt64 && view.is_contiguous()) {
        const auto* first = reinterpret_cast<const std::int64_t*>(view.address);
        if (first) to.assign(first, first + view.sizes[0]);
    }
    std::vector<bool> taken(static_cast<std::size_t>(N_));
    for (const nb::handle one : nb::borrow<nb::list>(free)) taken[nb::cast<std::size_t>(one)] = true;
    for (const std::int64_t row : to) {
        if (row < 0 || row >= N_ || taken[static_cast<std::size_t>(row)]) return false;
        taken[static_cast<std::size_t>(row)] = true;
    }
    return !to.empty();
}

bool StreamStep::find_tensor(nb::handle tensor, std::int64_t N, std::int64_t features, bool writable, Place& place) const {
    if (writable && attribute(tensor, names().requires_grad).ptr() != Py_False) return false;
    TensorView found;
    if (!read_tensor(tensor, found) || found.type != element_ || !fits(found, N, features, place.flat) || !found.is_contiguous()) {
        return false;
    }
    place.address = found.address;
    return place.address != 0;
}

bool StreamStep::find_array(nb::handle array, std::int64_t N, std::int64_t features, bool writable, Place& place) const {
    if (attribute(array, names().dtype).ptr() != array_dtype_.ptr()) return false;
    if (!fits(attribute(array, names().shape), N, features, place.flat)) return false;
    Py_buffer view;
    if (PyObject_GetBuffer(array.ptr(), &view, PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0)) < 0) {
        return PyErr_Clear(), false;
    }
    place.address = reinterpret_cast<std::uintptr_t>(view.buf);
    PyBuffer_Release(&view);
    return true;
}

nb::object StreamStep::step_rows(nb::handle x, nb::handle rows, nb::handle free, nb::handle out) {
    Rows chosen;
    return read_rows(rows, free, chosen) ? step_some(x, &chosen, out) : nb::none();
}

nb::object StreamStep::step_some(nb::handle x, const Rows* rows, nb::handle out) {
    PyTypeObject* type = Py_TYPE(x.ptr());
    const bool torch = reinterpret_cast<PyObject*>(type) == torch_api().tensor.ptr();
    const bool numpy = array_.is_valid() && reinterpret_cast<PyObject*>(type) == array_.ptr();
    if (!torch && !numpy) return nb::none();
    if (!out.is_none() && Py_TYPE(out.ptr()) != type) return nb::none();
    if (is_blocked() || !has_same_parameters()) return nb::none();
    return run(x, rows, out, numpy);
}

namespace {

struct Leave {
    std::atomic<bool>& running;
    ~Leave() { running.store(false); }
};

}  // namespace

// Creates the array that a step writes to, and sets its address, or 0 on failure.
nb::object StreamStep::make_out(const Rows* rows, bool flat, bool numpy, Place& place) const {
    const std::int64_t n = rows ? static_cast<std::int64_t>(rows->size()) : N_;
    if (!numpy) return make_fixed_tensor(flat ? Shape(H_) : Shape(n, H_), element_, place.address);
    nb::object made = rows   ? make_array_(nb::make_tuple(n, H_), array_dtype_)
                      : flat ? make_array_(shape_flat_, array_dtype_)
                             : make_array_(shape_, array_dtype_);
    if (!find_array(made, n, H_, true, place)) place.address = 0;
    return made;
}

nb::object StreamStep::run(nb::handle x, const Rows* rows, nb::handle out, bool numpy) {
    const std::int64_t n = rows ? static_cast<std::int64_t>(rows->size()) : N_;
    Place from, to;
    if (!(numpy ? find_array(x, n, C_, false, from) : find_tensor(x, n, C_, false, from))) return nb::none();
    if (rows && from.flat) return nb::none();  // a step of rows needs x [n, C]
    nb::object given = nb::borrow(out);
    if (out.is_none()) {
        given = make_out(rows, from.flat, numpy, to);
        if (to.address == 0) return nb::none();
    } else if (!(numpy ? find_array(out, n, H_, true, to) : find_tensor(out, n, H_, true, to)) || to.flat != from.flat) {
        return nb::none();
    }
    if (PyDict_Size(turn_.ptr()) > 0 || running_.exchange(true)) {
        PyErr_SetObject(error_.ptr(), message_.ptr());
        throw nb::python_error();
    }
    {
        const Leave leave{running_};
        const auto work = [&](int threads) { kernel_(from.address, to.address, rows, threads); };
        if (large_) {
            const nb::gil_scoped_release released;
            tuner_.run(work);
        } else {
            tuner_.run(work);
        }
        ++count_;
    }
    if (!numpy && !out.is_none()) mark_written_(nb::make_tuple(given));
    return given;
}

template <class F>
void StreamStep::each_object(const F& f) {
    for (nb::object* one : {&turn_, &parameters_, &owner_, &attribute_, &error_, &message_, &keep_alive_, &mark_written_, &array_,
                            &array_dtype_, &make_array_, &shape_, &shape_flat_}) {
        f(*one);
    }
    for (std::vector<nb::object>* some : {&dicts_, &variables_, &calls_}) {
        for (nb::object& one : *some) f(one);
    }
    for (Guarded& one : guarded_) f(one.name), f(one.value);
}

namespace {

// A step refers to the module's hooks and parameters, which may refer back to the stream, so the garbage collector must see its references.
int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (!nb::inst_ready(self)) return 0;
    int stop = 0;
    nb::inst_ptr<StreamStep>(self)->each_object([&](nb::object& one) {
        if (!stop && one.is_valid()) stop = visit(one.ptr(), arg);
    });
    return stop;
}

int clear(PyObject* self) {
    nb::inst_ptr<StreamStep>(self)->each_object([](nb::object& one) { one.reset(); });
    return 0;
}

PyType_Slot slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {0, nullptr}};

}  // namespace

void bind_stream_step(nb::module_& m) {
    nb::class_<StreamStep>(m, "StreamStep", nb::type_slots(slots), "stream_step.h: one step of a stream at the least cost.")
        .def("guard_parameters", &StreamStep::guard_parameters)
        .def("guard_empty", &StreamStep::guard_empty)
        .def("guard_idle", &StreamStep::guard_idle)
        .def("refuse_with", &StreamStep::refuse_with)
        .def("keep", &StreamStep::keep)
        .def("tell", &StreamStep::tell)
        .def("take_turns", &StreamStep::take_turns)
        .def_prop_ro("running", &StreamStep::is_running)
        .def_prop_ro("count", &StreamStep::count)
        .def("take_numpy", &StreamStep::take_numpy)
        .def("step", &StreamStep::step, nb::arg().none(), nb::arg().none())
        .def("step_rows", &StreamStep::step_rows, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg().none());
}

}  // namespace hiddenstate
