// Python's objects at the least cost: names made once, and exceptions dropped, since whoever asks here goes another way then.
#pragma once

#include <nanobind/nanobind.h>

namespace hiddenstate {

inline nanobind::object interned(const char* name) { return nanobind::steal(PyUnicode_InternFromString(name)); }

// An attribute; null where it can't be had.
inline nanobind::object attribute(nanobind::handle object, const nanobind::object& name) {
    nanobind::object found = nanobind::steal(PyObject_GetAttr(object.ptr(), name.ptr()));
    if (!found.is_valid()) PyErr_Clear();
    return found;
}

// What a method returns; null where it raises.
inline nanobind::object call(nanobind::handle object, const nanobind::object& method) {
    nanobind::object found = nanobind::steal(PyObject_CallMethodNoArgs(object.ptr(), method.ptr()));
    if (!found.is_valid()) PyErr_Clear();
    return found;
}

}  // namespace hiddenstate
