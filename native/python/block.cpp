#include "python/block.h"

namespace hiddenstate {
namespace {

// Saves the exception that is being raised, if any, and hides it from code that runs in the meantime.
class SavedError {
public:
    SavedError() { PyErr_Fetch(&type_, &value_, &traceback_); }
    ~SavedError() { PyErr_Restore(type_, value_, traceback_); }
    SavedError(const SavedError&) = delete;
    SavedError& operator=(const SavedError&) = delete;

private:
    PyObject *type_ = nullptr, *value_ = nullptr, *traceback_ = nullptr;
};

// The number of attempts to run the function that ends a block: an outside exception such as KeyboardInterrupt may interrupt it, but not
// repeatedly.
constexpr int kAttempts = 10;

// Calls a function until it succeeds, then raises the first exception if there was one.
void call_to_the_end(nb::handle function) {
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    for (int k = 0; k < kAttempts; ++k) {
        if (const nb::object done = nb::steal(PyObject_CallNoArgs(function.ptr())); done.is_valid()) break;
        if (k == 0) {
            PyErr_Fetch(&type, &value, &traceback);
        } else {
            PyErr_Clear();
        }
    }
    if (!type) return;
    PyErr_Restore(type, value, traceback);
    throw nb::python_error();
}

InForce* in_force(nb::handle value) { return nb::isinstance<InForce>(value) ? nb::inst_ptr<InForce>(value) : nullptr; }

// The value of a context variable, which is a tuple.
nb::object value_of(nb::handle variable) {
    PyObject* held = nullptr;
    if (PyContextVar_Get(variable.ptr(), nullptr, &held) < 0) throw nb::python_error();
    return nb::steal(held);
}

// Sets a context variable to its open blocks, minus `left` and plus `added`.
void set_blocks(nb::handle variable, nb::handle left, nb::handle added) {
    nb::list kept;
    for (const nb::handle one : value_of(variable)) {
        if (const InForce* there = in_force(one); there && there->is_open() && !one.is(left)) kept.append(one);
    }
    if (added.is_valid()) kept.append(added);
    const nb::object token = nb::steal(PyContextVar_Set(variable.ptr(), nb::tuple(kept).ptr()));
    if (!token.is_valid()) throw nb::python_error();
}

void remove_from(nb::handle list, nb::handle value) {
    for (Py_ssize_t k = PyList_GET_SIZE(list.ptr()); k-- > 0;) {
        if (PyList_GET_ITEM(list.ptr(), k) == value.ptr()) PyList_SetSlice(list.ptr(), k, k + 1, nullptr);
    }
}

}  // namespace

Switch::Switch(nb::dict names, nb::object name, nb::object value)
    : names_(std::move(names)), name_(std::move(name)), value_(std::move(value)) {}

void Switch::enter() {
    if (count_ == 0) {
        before_ = nb::borrow(PyDict_GetItemWithError(names_.ptr(), name_.ptr()));
        if (PyErr_Occurred() || PyDict_SetItem(names_.ptr(), name_.ptr(), value_.ptr()) < 0) throw nb::python_error();
    }
    ++count_;
}

void Switch::leave() {
    if (--count_ > 0) return;
    const int failed = before_.is_valid() ? PyDict_SetItem(names_.ptr(), name_.ptr(), before_.ptr())
                                          : PyDict_DelItem(names_.ptr(), name_.ptr());
    if (failed) PyErr_Clear();  // other code has deleted it
}

void InForce::open(nb::handle self) {
    is_open_ = true;
    if (PyList_Check(parts_.home.ptr())) {
        nb::borrow<nb::list>(parts_.home).append(self);
    } else if (!parts_.home.is_none()) {
        set_blocks(parts_.home, {}, self);
    }
    for (const nb::handle one : parts_.switches) {
        nb::inst_ptr<Switch>(one)->enter();
        ++entered_;
    }
}

void InForce::close(nb::handle self) {
    if (!is_open_) return;
    is_open_ = false;
    leave_home(self);
    for (const nb::handle one : parts_.switches) {
        if (entered_ > 0) nb::inst_ptr<Switch>(one)->leave(), --entered_;
    }
    const BlockParts ended = std::move(parts_);  // a context may still refer to this object
    if (!ended.after.is_none()) call_to_the_end(ended.after);
}

void InForce::leave_home(nb::handle self) {
    const nb::object home = parts_.home;
    try {
        if (PyList_Check(home.ptr())) {
            remove_from(home, self);
        } else if (!home.is_none()) {
            set_blocks(home, self, {});
        }
    } catch (nb::python_error&) {  // for example, if memory runs out; the object is closed, and so has no entries
    }
    PyErr_Clear();
}

nb::object InForce::entries() const { return is_open_ ? nb::borrow(entries_) : nb::object(nb::tuple()); }

void Block::abandon() {
    // If a block that is open for good is discarded by an exception, it was interrupted before it reached the caller, so it is closed.
    if (!is_open()) return;
    if (for_good_ && !PyErr_Occurred()) return nb::inst_ptr<InForce>(now_)->keep_entries();
    const SavedError saved;
    try {
        close();
    } catch (nb::python_error& error) {
        error.restore();
        PyErr_WriteUnraisable(nullptr);
    }
}

void Block::open(bool for_good) {
    if (is_open()) {
        PyErr_SetString(PyExc_RuntimeError, "this block is already open: make a new one for each `with`");
        throw nb::python_error();
    }
    for_good_ = for_good;
    now_ = nb::cast(new InForce(parts_), nb::rv_policy::take_ownership);
    try {
        nb::inst_ptr<InForce>(now_)->open(now_);
        if (parts_.before.is_none()) return;
        if (const nb::object done = nb::steal(PyObject_CallNoArgs(parts_.before.ptr())); !done.is_valid()) throw nb::python_error();
    } catch (nb::python_error& error) {
        error.restore();
        {
            const SavedError saved;
            close();
        }
        throw nb::python_error();
    }
}

void Block::enter() {
    if (for_good_ && is_open()) {
        for_good_ = false;
    } else {
        open(false);
    }
}

void Block::close() {
    if (const nb::object now = std::move(now_); now.is_valid()) nb::inst_ptr<InForce>(now)->close(now);
}

bool Block::is_open() const { return now_.is_valid() && nb::inst_ptr<InForce>(now_)->is_open(); }

bool is_any_open(nb::handle value) {
    if (!PyTuple_Check(value.ptr())) return true;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(value.ptr()); ++k) {
        const InForce* one = in_force(PyTuple_GET_ITEM(value.ptr(), k));
        if (!one || one->is_open()) return true;
    }
    return false;
}

namespace {

// An object in force may refer to the block (a generator that an LSTM keeps, for example), so the garbage collector must see the references
// of both.
template <class T>
int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (!nb::inst_ready(self)) return 0;
    int stop = 0;
    nb::inst_ptr<T>(self)->each_object([&](nb::object& one) {
        if (!stop && one.is_valid()) stop = visit(one.ptr(), arg);
    });
    return stop;
}

int clear_switch(PyObject* self) {
    nb::inst_ptr<Switch>(self)->each_object([](nb::object& one) { one.reset(); });
    return 0;
}

// An open object belongs to a block, which will close it.
int clear_in_force(PyObject* self) {
    InForce& one = *nb::inst_ptr<InForce>(self);
    if (!one.is_open()) one.each_object([](nb::object& held) { held.reset(); });
    return 0;
}

int clear_block(PyObject* self) {
    Block& block = *nb::inst_ptr<Block>(self);
    block.abandon();
    block.each_object([](nb::object& held) { held.reset(); });
    return 0;
}

template <class T>
PyType_Slot* slots(inquiry clear) {
    static PyType_Slot found[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse<T>)},
                                  {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                  {0, nullptr}};
    return found;
}

}  // namespace

void bind_block(nb::module_& m) {
    nb::class_<Switch>(m, "Switch", nb::type_slots(slots<Switch>(clear_switch)), "block.h: a value in a namespace while blocks are open.")
        .def(nb::init<nb::dict, nb::object, nb::object>())
        .def_prop_ro("count", &Switch::count);
    nb::class_<InForce>(m, "InForce", nb::type_slots(slots<InForce>(clear_in_force)), "block.h: an object in force in a block.")
        .def_prop_ro("entries", &InForce::entries)
        .def("close", [](nb::pointer_and_handle<InForce> self) { self.p->close(self.h); });
    nb::class_<Block>(m, "Block", nb::type_slots(slots<Block>(clear_block)), "block.h: a block in which something is in force.")
        .def("__init__", [](Block* self, nb::object home, nb::tuple entries, nb::tuple switches, nb::object before, nb::object after) {
            for (const nb::handle one : switches) nb::cast<const Switch&>(one);  // raises for anything that is not a Switch
            new (self) Block({std::move(home), std::move(entries), std::move(switches), std::move(before), std::move(after)});
        }, nb::arg("home") = nb::none(), nb::arg("entries") = nb::tuple(), nb::arg("switches") = nb::tuple(),
           nb::arg("before") = nb::none(), nb::arg("after") = nb::none())
        .def_prop_ro("home", [](const Block& b) { return b.parts().home; })
        .def_prop_ro("entries", [](const Block& b) { return b.parts().entries; })
        .def_prop_ro("switches", [](const Block& b) { return b.parts().switches; })
        .def("again", [](const Block& b) { return new Block(b.parts()); }, nb::rv_policy::take_ownership)
        .def("open_for_good", [](Block& b) { b.open(true); })
        .def("close", &Block::close)
        .def("__enter__", [](nb::pointer_and_handle<Block> self) {
            self.p->enter();
            return nb::borrow(self.h);
        })
        .def("__exit__", [](Block& b, nb::args) { b.close(); });
}

}  // namespace hiddenstate
