// Reads the user's arguments of a cell's step. In Python, the checks would take as long as the step of a small cell.
#pragma once

#include "python/read.h"

namespace hiddenstate {

constexpr std::int64_t kCellWeights = 4;  // ih, hh, b_ih, b_hh

// Reads the tensors of a step. They must be plain torch tensors on the CPU, with one number type, the right shapes and all of their memory.
// With `contiguous`, weights must be contiguous, and other tensors are copied if they are not: loops often read x[:, t]. The first one that
// does not fit sets the refusal.
class CellReader {
public:
    explicit CellReader(bool contiguous = false) : contiguous_(contiguous) {}

    TensorView x, states[2], weights[kCellWeights];  // missing ones have the address 0
    Refusal refusal;

    // Reads the input [N, C] or [C].
    bool read_input(nb::handle input, std::int64_t C) {
        if (!look(input, "input", nullptr, x)) return false;
        const bool fits = (x.rank == 1 || x.rank == 2) && x.sizes[x.rank - 1] == C;
        return (fits || refusal.because("input", "shape", input, nullptr)) && is_usable(x, input, "input", nullptr, &copies_[0]);
    }

    // Reads the previous states and the weights. The states are None, a tuple or list (h, c), or just h if there is no cell state; they
    // have no N axis if the input has none. `weight(k)` returns a weight, None if there is none, or null if it can't be determined.
    template <class Weight>
    bool read_others(nb::handle hx, const Weight& weight, std::int64_t C, std::int64_t H, std::int64_t gates = 4, bool memory = true) {
        states[0].address = states[1].address = 0;
        if (!hx.is_none()) {
            if (!hold_states(hx, memory)) return refusal.because("hx", "form", nb::none(), nullptr);
            for (int k = 0; k < 1 + memory; ++k) {
                if (!read(held_[k], state_shape(H), k == 0 ? "h" : "c", states[k], &copies_[1 + k])) return false;
            }
        }
        for (std::int64_t k = 0; k < kCellWeights; ++k) {
            const nb::handle value = weight(k);
            weights[k].address = 0;
            const Shape shape = weight_shape(gates, k, C, H, H);
            if (!value.is_valid() || (k < 2 && value.is_none())) return refusal.because(kWeightNames[k], "shape", nb::none(), &shape);
            if (!value.is_none() && !read(value, shape, kWeightNames[k], weights[k])) return false;
        }
        return true;
    }

    bool is_single() const { return x.rank == 1; }
    std::int64_t N() const { return is_single() ? 1 : x.sizes[0]; }
    Shape state_shape(std::int64_t H) const { return is_single() ? Shape(H) : Shape(x.sizes[0], H); }

private:
    nb::object held_[2];  // keeps the states alive, because another thread may remove them from a list meanwhile
    nb::object copies_[3];

    bool hold_states(nb::handle hx, bool memory) {
        if (!memory) return held_[0] = nb::borrow(hx), true;
        if (!PyTuple_CheckExact(hx.ptr()) && !PyList_CheckExact(hx.ptr())) return false;
        if (PySequence_Fast_GET_SIZE(hx.ptr()) != 2) return false;
        for (int k = 0; k < 2; ++k) held_[k] = nb::borrow(PySequence_Fast_GET_ITEM(hx.ptr(), k));
        return true;
    }

    bool look(nb::handle value, const char* name, const Shape* shape, TensorView& to) {
        return (is_plain_tensor(value) && read_tensor(value, to)) || refusal.because(name, "form", value, shape);
    }

    bool read(nb::handle value, const Shape& shape, const char* name, TensorView& to, nb::object* copy = nullptr) {
        if (!look(value, name, &shape, to)) return false;
        if (!(to.type == x.type)) return refusal.because(name, "form", value, &shape);
        return (to.is_of(shape) || refusal.because(name, "shape", value, &shape)) && is_usable(to, value, name, &shape, copy);
    }

    // Whether a tensor has memory and is contiguous where that is required, if need be as a copy.
    bool is_usable(TensorView& view, nb::handle value, const char* name, const Shape* shape, nb::object* copy) {
        if (!view.address && !view.is_empty()) return refusal.because(name, "memory", value, shape);
        if (!contiguous_ || view.is_contiguous()) return true;
        if (!copy) return refusal.because(name, "form", value, shape);
        *copy = tensor_from(value, "contiguous");
        return read_tensor(*copy, view) || refusal.because(name, "form", value, shape);
    }

    const bool contiguous_;
};

// Whether the arguments of a step fit. Returns false if that can't be determined quickly; the checks in Python then decide. `hx` is None,
// or a tuple or list (h, c). `weights` are ih, hh, b_ih and b_hh; a bias may be None.
inline bool cell_fits(nb::handle input, nb::handle hx, nb::tuple weights, std::int64_t C, std::int64_t H) {
    CellReader reader;
    if (!reader.read_input(input, C)) return false;
    const bool floats = reader.x.type.code == kFloat32.code || reader.x.type.code == kBfloat16.code;
    return floats && reader.read_others(hx, [&](std::int64_t k) { return nb::handle(weights[static_cast<std::size_t>(k)]); }, C, H);
}

}  // namespace hiddenstate
