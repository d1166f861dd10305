#include "python/tensor_access.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "python/python_api.h"

namespace hiddenstate {
namespace {

// The layout of the table in DLPack 1 (dlpack.h, DLPackExchangeAPI).
struct Header {
    std::uint32_t major, minor;
    const Header* previous;  // a table of an older version
};

// A tensor, and the function that frees it (DLManagedTensorVersioned).
struct Managed {
    std::uint32_t major, minor;
    void* context;
    void (*release)(Managed* self);
    std::uint64_t flags;
    nb::dlpack::dltensor tensor;
};

struct Table {
    Header header;
    void (*allocate)();
    void (*managed_from_object)();
    int (*object_from_managed)(Managed* tensor, void** object);
    int (*look)(void* object, nb::dlpack::dltensor* found);
    void (*stream)();
};

constexpr std::uint32_t kMajor = 1;
constexpr const char* kName = "dlpack_exchange_api";
static_assert(sizeof(void*) != 8 || (offsetof(Managed, tensor) == 32 && sizeof(nb::dlpack::dltensor) == 48 && sizeof(Table) == 56),
              "these are not laid out like DLPack's");

// Never freed: Python may have ended when statics are destroyed.
Torch* connected = nullptr;
int (*look_up)(void*, nb::dlpack::dltensor*) = nullptr;
int (*take)(Managed*, void**) = nullptr;

// Names of attributes, interned once.
struct Names {
    nb::object is_cpu = interned("is_cpu"), dtype = interned("dtype"), shape = interned("shape"), stride = interned("stride"),
               data_ptr = interned("data_ptr");
};

const Names& names() {
    static const Names* found = new Names;
    return *found;
}

// A method without arguments, or an attribute, that one of torch's classes defines in C. For objects of exactly that class, its function is
// called directly, without looking up its name.
class InC {
public:
    InC(nb::handle owner, const char* name) : name_(interned(name)), found_(attribute(owner, name_)) {
        if (!found_.is_valid()) return;
        is_method_ = Py_TYPE(found_.ptr()) != &PyGetSetDescr_Type;
        if (!is_method_) getter_ = reinterpret_cast<PyGetSetDescrObject*>(found_.ptr())->d_getset;
        if (Py_TYPE(found_.ptr()) != &PyMethodDescr_Type) return;
        const PyMethodDef* method = reinterpret_cast<PyMethodDescrObject*>(found_.ptr())->d_method;
        if (method->ml_flags == METH_NOARGS) function_ = method->ml_meth;
    }

    // Returns null if it fails. `exact` means that the object is of exactly this class, not of a subclass that may override the method.
    nb::object operator()(nb::handle object, bool exact) const {
        if (!exact || !(function_ || getter_)) return is_method_ ? call(object, name_) : attribute(object, name_);
        nb::object given = nb::steal(function_ ? function_(object.ptr(), nullptr) : getter_->get(object.ptr(), getter_->closure));
        if (!given.is_valid()) drop_unavailable();
        return given;
    }

private:
    nb::object name_, found_;
    bool is_method_ = true;
    PyCFunction function_ = nullptr;
    const PyGetSetDef* getter_ = nullptr;
};

struct Members {
    InC version{connected->tensor, "_version"}, is_neg{connected->tensor, "is_neg"}, untyped_storage{connected->tensor, "untyped_storage"},
        storage_offset{connected->tensor, "storage_offset"}, nbytes{connected->storage, "nbytes"};
};

const Members& members() {
    static const Members* found = new Members;
    return *found;
}

std::int64_t number(const nb::object& value) {
    const std::int64_t found = value.is_valid() ? PyLong_AsLongLong(value.ptr()) : -1;
    if (found == -1 && PyErr_Occurred()) PyErr_Clear();
    return found;
}

// The size of a tensor's storage in bytes, and the number of elements before the tensor's first one; negative if unknown.
struct Room {
    std::int64_t bytes, offset;

    bool holds(const TensorView& tensor) const {
        return offset >= 0 && bytes >= (offset + tensor.span()) * (tensor.type.bits / 8);
    }
};

Room room_of(nb::handle tensor, bool plain) {
    const nb::object storage = members().untyped_storage(tensor, plain);
    if (!storage.is_valid()) return {-1, -1};
    const bool exact = reinterpret_cast<PyObject*>(Py_TYPE(storage.ptr())) == connected->storage.ptr();
    return {number(members().nbytes(storage, exact)), number(members().storage_offset(tensor, plain))};
}

void look_for_table() {
    const nb::object capsule = nb::getattr(connected->tensor, "__dlpack_c_exchange_api__", nb::none());
    if (!PyCapsule_IsValid(capsule.ptr(), kName)) return;
    const auto* header = static_cast<const Header*>(PyCapsule_GetPointer(capsule.ptr(), kName));
    while (header && header->major != kMajor) header = header->previous;
    if (!header) return;
    const auto* table = reinterpret_cast<const Table*>(header);
    look_up = table->look, take = table->object_from_managed;
}

// Reads a tensor through the table. Clears any exception that torch raises.
bool look(nb::handle tensor, nb::dlpack::dltensor& found) {
    if (look_up(tensor.ptr(), &found) == 0) return true;
    PyErr_Clear();
    return false;
}

std::uintptr_t begin_of(const nb::dlpack::dltensor& tensor) {
    return reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset;
}

bool read_by_table(nb::handle tensor, TensorView& found) {
    nb::dlpack::dltensor told;
    if (!look(tensor, told) || told.device.device_type != nb::device::cpu::value) return false;
    if (told.ndim < 0 || told.ndim > kMostAxes || (told.ndim > 0 && !told.strides)) return false;
    found.address = begin_of(told), found.type = told.dtype, found.rank = told.ndim;
    std::copy_n(told.shape, told.ndim, found.sizes), std::copy_n(told.strides, told.ndim, found.strides);
    return true;
}

// A tensor and its numbers in one block of memory, which torch frees together with the tensor, on any thread.
struct FixedTensor {
    static constexpr std::size_t kAlignment = 64;

    Managed managed;
    std::int64_t sizes[kMostAxes], strides[kMostAxes];

    static FixedTensor* make(const Shape& shape, NumberType type) {
        constexpr std::int64_t kMost = std::int64_t{1} << 46;  // elements; far fewer than there are addresses
        std::int64_t count = 1, strides[kMostAxes] = {};
        for (int k = shape.rank - 1; k >= 0; --k) {
            if (shape.sizes[k] > kMost / std::max<std::int64_t>(count, 1)) throw std::bad_alloc();
            strides[k] = count, count *= shape.sizes[k];
        }
        const std::size_t bytes = sizeof(FixedTensor) + kAlignment + static_cast<std::size_t>(count) * (type.bits / 8);
        void* const memory = std::malloc(bytes);  // not aligned_alloc, which does not reuse freed blocks as quickly
        if (!memory) throw std::bad_alloc();
        auto* made = new (memory) FixedTensor{};
        std::copy_n(shape.sizes, kMostAxes, made->sizes), std::copy_n(strides, kMostAxes, made->strides);
        const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(made + 1) + kAlignment - 1;
        nb::dlpack::dltensor& tensor = made->managed.tensor;
        tensor.data = reinterpret_cast<void*>(end / kAlignment * kAlignment), tensor.device = {nb::device::cpu::value, 0};
        tensor.ndim = shape.rank, tensor.dtype = type, tensor.shape = made->sizes, tensor.strides = made->strides;
        made->managed.major = kMajor, made->managed.release = [](Managed* self) { std::free(self); };
        return made;
    }
};

bool read_sizes(nb::handle tuple, int rank, std::int64_t* sizes) {
    if (!tuple.is_valid() || !PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) != rank) return false;
    for (int k = 0; k < rank; ++k) sizes[k] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple.ptr(), k));
    if (!PyErr_Occurred()) return true;
    PyErr_Clear();
    return false;
}

bool read_by_attributes(nb::handle tensor, TensorView& found) {
    const nb::object shape = attribute(tensor, names().shape), dtype = attribute(tensor, names().dtype);
    if (!shape.is_valid() || !PyTuple_Check(shape.ptr()) || attribute(tensor, names().is_cpu).ptr() != Py_True) return false;
    const Py_ssize_t rank = PyTuple_GET_SIZE(shape.ptr());
    if (rank > kMostAxes) return false;
    found.rank = static_cast<int>(rank);
    const nb::object strides = call(tensor, names().stride);
    if (!read_sizes(shape, found.rank, found.sizes) || !read_sizes(strides, found.rank, found.strides)) return false;
    for (const NumberType type : {kFloat32, kFloat64, kBfloat16, kFloat16, kInt64, kBool}) {
        if (dtype.ptr() != connected->name_of(type).ptr()) continue;
        found.type = type, found.address = address_of_tensor(tensor);
        return true;
    }
    return false;
}

}  // namespace

bool TensorView::is_of(const Shape& shape) const {
    return rank == shape.rank && std::equal(shape.sizes, shape.sizes + shape.rank, sizes);
}

bool TensorView::is_contiguous() const {
    std::int64_t step = 1;
    for (int k = rank - 1; k >= 0; --k) {
        if (sizes[k] != 1 && strides[k] != step) return is_empty();
        step *= sizes[k];
    }
    return true;
}

bool TensorView::is_empty() const { return std::find(sizes, sizes + rank, 0) != sizes + rank; }

std::int64_t TensorView::count() const {
    std::int64_t count = 1;
    for (int k = 0; k < rank; ++k) count *= sizes[k];
    return count;
}

std::int64_t TensorView::span() const {
    std::int64_t last = 0;
    for (int k = 0; k < rank; ++k) last += (sizes[k] - 1) * strides[k];
    return last + 1;
}

nb::handle Torch::name_of(NumberType type) const {
    if (type == kFloat16) return float16;
    return type == kFloat32 ? float32 : type == kFloat64 ? float64 : type == kBfloat16 ? bfloat16 : type == kInt64 ? int64 : boolean;
}

void connect_torch(const Torch& torch) {
    connected = new Torch(torch);
    look_for_table();
}

const Torch& torch_api() { return *connected; }

bool has_tensor_table() { return look_up != nullptr; }

bool is_intercepted() {
    static const auto* level = new nb::object(interned("_current_level"));  // never freed
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(connected->interceptors.ptr()); ++k) {
        const nb::object said = nb::steal(PyObject_CallNoArgs(PyList_GET_ITEM(connected->interceptors.ptr(), k)));
        if (!said.is_valid()) throw nb::python_error();
        if (said.ptr() != Py_False && is_true(said)) return true;
    }
    PyObject* now = PyDict_GetItemWithError(connected->forward_derivatives.ptr(), level->ptr());
    if (!now) return PyErr_Clear(), true;
    return number(nb::borrow(now)) >= 0;
}

bool read_tensor(nb::handle tensor, TensorView& found) {
    // Check the negative bit and the storage first: under one of torch's modes these calls run Python code, which may move the memory.
    const bool plain = is_plain_tensor(tensor);
    if (members().is_neg(tensor, plain).ptr() != Py_False) return false;
    const Room room = room_of(tensor, plain);
    if (!(look_up ? read_by_table(tensor, found) : read_by_attributes(tensor, found))) return false;
    if (!found.is_empty() && !room.holds(found)) found.address = 0;
    return true;
}

std::uintptr_t address_of_tensor(nb::handle tensor) {
    if (look_up) {
        nb::dlpack::dltensor told;
        return look(tensor, told) ? begin_of(told) : 0;
    }
    const nb::object found = call(tensor, names().data_ptr);
    return found.is_valid() ? static_cast<std::uintptr_t>(PyLong_AsUnsignedLongLong(found.ptr())) : 0;
}

std::int64_t version_of_tensor(nb::handle tensor) {
    return number(members().version(tensor, is_plain_tensor(tensor)));
}

bool is_plain_tensor(nb::handle tensor) {
    const auto* kind = reinterpret_cast<const PyObject*>(Py_TYPE(tensor.ptr()));
    return kind == connected->tensor.ptr() || kind == connected->parameter.ptr();
}

nb::object make_tensor(const Shape& shape, NumberType type, std::uintptr_t& address) {
    static const auto* keywords = new nb::tuple(nb::make_tuple(interned("dtype"), interned("device")));
    // The sizes are passed one by one, because torch takes a third longer to read them from a tuple.
    nb::object sizes[kMostAxes];
    PyObject* arguments[kMostAxes + 2];
    for (int k = 0; k < shape.rank; ++k) {
        sizes[k] = nb::steal(PyLong_FromLongLong(shape.sizes[k]));
        if (!sizes[k].is_valid()) throw nb::python_error();
        arguments[k] = sizes[k].ptr();
    }
    arguments[shape.rank] = connected->name_of(type).ptr(), arguments[shape.rank + 1] = connected->cpu.ptr();
    const auto count = static_cast<std::size_t>(shape.rank);
    nb::object made = nb::steal(PyObject_Vectorcall(connected->empty.ptr(), arguments, count, keywords->ptr()));
    if (!made.is_valid()) throw nb::python_error();
    address = address_of_tensor(made);
    return made;
}

nb::object make_fixed_tensor(const Shape& shape, NumberType type, std::uintptr_t& address) {
    if (!take) return make_tensor(shape, type, address);
    FixedTensor* const fixed = FixedTensor::make(shape, type);
    const std::uintptr_t begin = begin_of(fixed->managed.tensor);
    void* made = nullptr;
    // On failure, torch may or may not have freed the memory, so the memory is not freed here.
    if (take(&fixed->managed, &made) != 0 || !made) throw nb::python_error();
    address = begin;
    return nb::steal(static_cast<PyObject*>(made));
}

}  // namespace hiddenstate
