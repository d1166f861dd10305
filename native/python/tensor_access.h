// Reads the type, shape, strides and address of a tensor.
//
// torch returns them in one call through its table of C functions (DLPack's exchange API). Older versions of torch have no such table; for
// these, the tensor's attributes are read.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <utility>

namespace hiddenstate {

namespace nb = nanobind;

// The number types that native code reads, in DLPack's numbering.
using NumberType = nb::dlpack::dtype;
constexpr NumberType kFloat32{2, 32, 1}, kFloat64{2, 64, 1}, kFloat16{2, 16, 1}, kBfloat16{4, 16, 1}, kInt64{0, 64, 1}, kBool{6, 8, 1};

constexpr int kMostAxes = 3;

// One to three sizes.
struct Shape {
    int rank;
    std::int64_t sizes[kMostAxes];

    explicit Shape(std::int64_t a) : rank(1), sizes{a, 0, 0} {}
    Shape(std::int64_t a, std::int64_t b) : rank(2), sizes{a, b, 0} {}
    Shape(std::int64_t a, std::int64_t b, std::int64_t c) : rank(3), sizes{a, b, c} {}
};

// A tensor of up to three axes in the CPU's memory.
struct TensorView {
    std::uintptr_t address;  // 0 if the memory is missing, was freed, or is shorter than the tensor
    NumberType type;
    int rank;
    std::int64_t sizes[kMostAxes], strides[kMostAxes];

    bool is_of(const Shape& shape) const;
    bool is_contiguous() const;
    bool is_empty() const;
    // The number of elements, and of those from the first to the last in memory.
    std::int64_t count() const;
    std::int64_t span() const;
};

// The classes and functions of torch that native code uses. Set once when the module is loaded; never freed.
struct Torch {
    nb::object tensor, parameter, storage;  // classes
    nb::object empty, cpu;         // torch.empty, torch.device("cpu")
    nb::object num_threads;        // torch.get_num_threads
    nb::object float32, float64, bfloat16, float16, int64, boolean;
    // Functions without arguments, one of which returns something other than False, 0 or None whenever torch must see each operation of a
    // call; and the dict whose "_current_level" is 0 or more during forward-mode differentiation.
    nb::list interceptors;
    nb::dict forward_derivatives;

    nb::handle name_of(NumberType type) const;
};

// Stores these objects, and looks for torch's table of functions.
void connect_torch(const Torch& torch);
const Torch& torch_api();
// Whether torch has the table. Without it, a fast call would not be fast.
bool has_tensor_table();

// Whether one of torch's modes, tracers or transforms must see each operation of a call; a native call would hide the operations from it.
// base/torch_internals.py names the reasons.
bool is_intercepted();

// Returns false if the numbers can't be read in place: the tensor is on another device, has torch's negative bit set, or has more than
// three axes.
bool read_tensor(nb::handle tensor, TensorView& found);
// Returns only the address, or 0. This is the fastest way, for tensors that read_tensor has already accepted.
std::uintptr_t address_of_tensor(nb::handle tensor);
// A tensor's version, which counts in-place writes; -1 if unknown.
std::int64_t version_of_tensor(nb::handle tensor);
// Whether a tensor is an instance of one of torch's own classes, not of a subclass.
bool is_plain_tensor(nb::handle tensor);

// Creates a tensor on the CPU and sets `address`.
nb::object make_tensor(const Shape& shape, NumberType type, std::uintptr_t& address);
// Like make_tensor, but with memory that torch can't enlarge: about 0.4 us faster if torch has the table.
nb::object make_fixed_tensor(const Shape& shape, NumberType type, std::uintptr_t& address);

}  // namespace hiddenstate
