// Fast access to Python objects: names are interned once, and a failed access returns null instead of raising, so that the caller can take
// another path.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

namespace hiddenstate {

inline nanobind::object interned(const char* name) { return nanobind::steal(PyUnicode_InternFromString(name)); }

// Drops the current exception if it means that an attribute or value is unavailable. Throws all others: torch's modes and signal handlers
// may run Python code during an attribute access.
inline void drop_unavailable() {
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError) && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        throw nanobind::python_error();
    }
    PyErr_Clear();
}

// Returns an attribute, or null if there is none.
inline nanobind::object attribute(nanobind::handle object, const nanobind::object& name) {
    nanobind::object found = nanobind::steal(PyObject_GetAttr(object.ptr(), name.ptr()));
    if (!found.is_valid()) drop_unavailable();
    return found;
}

// Calls a method without arguments; returns null if it fails.
inline nanobind::object call(nanobind::handle object, const nanobind::object& method) {
    nanobind::object found = nanobind::steal(PyObject_CallMethodNoArgs(object.ptr(), method.ptr()));
    if (!found.is_valid()) drop_unavailable();
    return found;
}

// Returns the items of a list or a tuple. nanobind's conversion of arguments to vectors is noexcept, so a failed allocation there would end
// the process; here it raises MemoryError.
template <class T>
std::vector<T> vector_of(nanobind::handle items) {
    const nanobind::object fast = nanobind::steal(PySequence_Fast(items.ptr(), "expected a list or a tuple"));
    if (!fast.is_valid()) throw nanobind::python_error();
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(fast.ptr());
    std::vector<T> found;
    found.reserve(static_cast<std::size_t>(size));
    for (Py_ssize_t k = 0; k < size; ++k) found.push_back(nanobind::cast<T>(nanobind::handle(PySequence_Fast_GET_ITEM(fast.ptr(), k))));
    return found;
}

// The truth value of an object.
inline bool is_true(nanobind::handle object) {
    const int found = PyObject_IsTrue(object.ptr());
    if (found < 0) throw nanobind::python_error();
    return found != 0;
}

}  // namespace hiddenstate
