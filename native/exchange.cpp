#include "exchange.h"

#include "objects.h"

namespace hiddenstate {
namespace {

// As DLPack 1 lays the table out (dlpack.h, DLPackExchangeAPI).
struct Header {
    std::uint32_t major, minor;
    const Header* previous;  // a table of an older version
};

struct Table {
    Header header;
    void (*allocate)();
    void (*managed_from_object)();
    void (*object_from_managed)();
    int (*look)(void* object, Exchange::Tensor* found);
    void (*stream)();
};

constexpr std::uint32_t kMajor = 1;
constexpr const char* kName = "dlpack_exchange_api";

}  // namespace

Exchange::Exchange(nanobind::handle type) {
    const nanobind::object capsule = nanobind::getattr(type, "__dlpack_c_exchange_api__", nanobind::none());
    if (!PyCapsule_IsValid(capsule.ptr(), kName)) return;
    const auto* header = static_cast<const Header*>(PyCapsule_GetPointer(capsule.ptr(), kName));
    while (header && header->major != kMajor) header = header->previous;
    if (header) look_ = reinterpret_cast<const Table*>(header)->look;
}

bool Exchange::look(nanobind::handle tensor, Tensor& found) const {
    if (look_(tensor.ptr(), &found) == 0) return true;
    PyErr_Clear();
    return false;
}

bool Exchange::find(nanobind::handle tensor, nanobind::dlpack::dtype element, Tensor& found) const {
    static const auto* is_neg = new nanobind::object(interned("is_neg"));  // never freed: Python may be gone when statics are
    // The mark first: where a mode of torch's is in force it is asked in Python, which may change where a tensor lies.
    return call(tensor, *is_neg).ptr() == Py_False && look(tensor, found) &&
           found.device.device_type == nanobind::device::cpu::value && found.dtype == element && address_of(found) != 0;
}

bool is_contiguous(const Exchange::Tensor& tensor) {
    std::int64_t step = 1;
    for (std::int32_t k = tensor.ndim - 1; k >= 0; --k) {
        if (tensor.shape[k] != 1 && tensor.strides && tensor.strides[k] != step) return false;
        step *= tensor.shape[k];
    }
    return true;
}

}  // namespace hiddenstate
