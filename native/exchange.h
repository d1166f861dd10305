// torch's table of C functions (DLPack's exchange API), of which one tells in a single call what a tensor's type, shape and
// place are. Older versions of torch have none.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>

namespace hiddenstate {

class Exchange {
public:
    // A tensor as DLPack describes it; its shape and strides are torch's own, and live as long as the tensor.
    using Tensor = nanobind::dlpack::dltensor;

    Exchange() = default;
    // That of torch.Tensor, as long as it stays the same type.
    explicit Exchange(nanobind::handle type);

    explicit operator bool() const { return look_; }

    // False where torch has nothing to tell: of a tensor without memory, say. No exception of torch's is left.
    bool look(nanobind::handle tensor, Tensor& found) const;
    // The same of a tensor whose numbers are of a type, and lie in the CPU's memory as they are.
    bool find(nanobind::handle tensor, nanobind::dlpack::dtype element, Tensor& found) const;

    // Where a tensor's numbers begin; 0 where there are none.
    static std::uintptr_t address_of(const Tensor& tensor) {
        return reinterpret_cast<std::uintptr_t>(tensor.data) + tensor.byte_offset;
    }

private:
    using Look = int (*)(void* object, Tensor* found);

    Look look_ = nullptr;
};

// Whether numbers lie one after another, in the order of the axes.
bool is_contiguous(const Exchange::Tensor& tensor);

}  // namespace hiddenstate
