// Reads the type, shape, strides and address of a tensor.
//
// torch gives them in one call through its table of C functions (DLPack's exchange API). Older versions of torch have no such
// table; there the attributes of the tensor are read.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <utility>

namespace hiddenstate {

namespace nb = nanobind;

// The number types that native code reads, in DLPack's numbering.
using NumberType = nb::dlpack::dtype;
constexpr NumberType kFloat32{2, 32, 1}, kFloat64{2, 64, 1}, kBfloat16{4, 16, 1}, kInt64{0, 64, 1}, kBool{6, 8, 1};

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
    std::uintptr_t address;  // 0: it has no memory, or the memory was freed, or is shorter than the tensor
    NumberType type;
    int rank;
    std::int64_t sizes[kMostAxes], strides[kMostAxes];

    bool is_of(const Shape& shape) const;
    bool is_contiguous() const;
    bool is_empty() const;
};

// The classes and functions of torch that native code uses. Set once when the module is loaded; never freed.
struct Torch {
    nb::object tensor, parameter, storage;  // classes
    nb::object empty, cpu;         // torch.empty, torch.device("cpu")
    nb::object num_threads;        // torch.get_num_threads
    nb::object float32, float64, bfloat16, int64, boolean;
    // Functions without arguments of which one returns something other than False, 0 or None while torch must see each operation of a call,
    // and the dict in which "_current_level" is 0 or more during a forward-mode derivative.
    nb::list interceptors;
    nb::dict forward_derivatives;

    nb::handle name_of(NumberType type) const;
};

// Stores them, and looks for torch's table of functions.
void connect_torch(const Torch& torch);
const Torch& torch_api();
// Whether torch has the table. Without it a fast call would not be fast.
bool has_tensor_table();

// Whether a mode, a tracer or a transform of torch's must see each operation of a call, so that a native call would hide them from
// it. engine/interception.py names the reasons.
bool is_intercepted();

// Returns false if the numbers can't be read in place: the tensor is on another device, has torch's negative bit, or has more
// axes.
bool read_tensor(nb::handle tensor, TensorView& found);
// Returns only the address, or 0: the fastest way, for tensors that read_tensor has accepted before.
std::uintptr_t address_of_tensor(nb::handle tensor);
// A tensor's version, which counts its writes; -1: unknown.
std::int64_t version_of_tensor(nb::handle tensor);
// Whether a tensor is an instance of one of torch's own classes, not of a subclass.
bool is_plain_tensor(nb::handle tensor);

// Makes a tensor on the CPU; sets its address.
nb::object make_tensor(const Shape& shape, NumberType type, std::uintptr_t& address);
// The same, with memory that torch can't enlarge: some 0.4 us faster if torch has the table.
nb::object make_fixed_tensor(const Shape& shape, NumberType type, std::uintptr_t& address);

}  // namespace hiddenstate
