// Python's objects at the least cost: names made once, and refusals dropped, since whoever asks here goes another way then.
#pragma once

#include <nanobind/nanobind.h>

namespace hiddenstate {

inline nanobind::object interned(const char* name) { return nanobind::steal(PyUnicode_InternFromString(name)); }

// Drops the exception at hand if it says that something is not to be had. Others are someone else's: torch's modes run Python
// where an attribute is asked for, and signals are handled there.
inline void drop_refusal() {
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError) && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        throw nanobind::python_error();
    }
    PyErr_Clear();
}

// An attribute; null where there is none.
inline nanobind::object attribute(nanobind::handle object, const nanobind::object& name) {
    nanobind::object found = nanobind::steal(PyObject_GetAttr(object.ptr(), name.ptr()));
    if (!found.is_valid()) drop_refusal();
    return found;
}

// What a method returns; null where it refuses.
inline nanobind::object call(nanobind::handle object, const nanobind::object& method) {
    nanobind::object found = nanobind::steal(PyObject_CallMethodNoArgs(object.ptr(), method.ptr()));
    if (!found.is_valid()) drop_refusal();
    return found;
}

}  // namespace hiddenstate
