// Fast access to Python objects: names are interned once, and a failed access gives null instead of an exception, because the
// caller then takes another path.
#pragma once

#include <nanobind/nanobind.h>

namespace hiddenstate {

inline nanobind::object interned(const char* name) { return nanobind::steal(PyUnicode_InternFromString(name)); }

// Drops the current exception if it means that an attribute or value is not available. Throws all others: torch's modes run
// Python code during an attribute access, and so may signal handlers.
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

// The truth of an object, as Python tells it.
inline bool is_true(nanobind::handle object) {
    const int found = PyObject_IsTrue(object.ptr());
    if (found < 0) throw nanobind::python_error();
    return found != 0;
}

}  // namespace hiddenstate
