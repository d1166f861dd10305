// Reads what a tensor says of itself: type, shape, strides, and where its numbers are.
//
// torch tells it in one call through its table of C functions (DLPack's exchange API). Older versions of torch have none: there the
// tensor's attributes are asked.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>

namespace hiddenstate {

namespace nb = nanobind;

// The types of torch's that native code reads, as DLPack numbers them.
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
    std::uintptr_t address;  // 0: its memory was freed, or it has none of its own
    NumberType type;
    int rank;
    std::int64_t sizes[kMostAxes], strides[kMostAxes];

    bool is_of(const Shape& shape) const;
    bool is_contiguous() const;
    bool is_empty() const;
};

// What native code knows of torch: its classes and functions, given once when the module is loaded; never freed.
struct Torch {
    nb::object tensor, parameter;  // classes
    nb::object empty, cpu;         // torch.empty, torch.device("cpu")
    nb::object num_threads;        // torch.get_num_threads
    nb::object float32, float64, bfloat16, int64, boolean;

    nb::handle name_of(NumberType type) const;
};

// Keeps what Python gives, and looks for torch's table.
void connect_torch(const Torch& torch);
const Torch& torch_api();
// Whether torch has the table, without which a quick call would not be quick.
bool has_tensor_table();

// False if the numbers can't be read as they are: on another device, negated by a mark alone, of more axes.
bool read_tensor(nb::handle tensor, TensorView& found);
// The same at the least cost, for tensors that were read before: only the address; 0 where there is none.
std::uintptr_t address_of_tensor(nb::handle tensor);
// Whether it is of torch's own classes, and no subclass.
bool is_plain_tensor(nb::handle tensor);

// A new tensor on the CPU, and its address.
nb::object make_tensor(const Shape& shape, NumberType type, std::uintptr_t& address);

}  // namespace hiddenstate
