// Reads the user's arguments of an LSTMCell step. In Python, the checks would take as long as the step of a small cell.
#pragma once

#include "python/read.h"

namespace hiddenstate {

constexpr std::int64_t kCellWeights = 4;  // ih, hh, b_ih, b_hh

// The tensors of a step: torch's own, on the CPU, of one type, of the right shapes, with all of their memory.
class CellReader {
public:
    TensorView x, states[2], weights[kCellWeights];  // absent ones have the address 0

    // Reads the input [N, C] or [C].
    bool read_input(nb::handle input, std::int64_t C) {
        if (!is_plain_tensor(input) || !read_tensor(input, x)) return false;
        return (x.rank == 1 || x.rank == 2) && x.sizes[x.rank - 1] == C && has_memory(x);
    }

    // Reads the previous states, None or a tuple or list (h, c), or h if there is no cell state, without N if the input has none,
    // and the weights: `weight(k)` returns one, None if there is none, or null if that is unknown.
    template <class Weight>
    bool read_others(nb::handle hx, const Weight& weight, std::int64_t C, std::int64_t H, std::int64_t gates = 4, bool memory = true) {
        states[0].address = states[1].address = 0;
        if (!hx.is_none()) {
            if (!hold_states(hx, memory)) return false;
            for (int k = 0; k < 1 + memory; ++k) {
                if (!read(held_[k], state_shape(H), states[k])) return false;
            }
        }
        for (std::int64_t k = 0; k < kCellWeights; ++k) {
            const nb::handle value = weight(k);
            weights[k].address = 0;
            if (!value.is_valid() || (k < 2 && value.is_none())) return false;
            if (!value.is_none() && !read(value, weight_shape(gates, k, C, H, H), weights[k])) return false;
        }
        return true;
    }

    bool is_single() const { return x.rank == 1; }
    std::int64_t N() const { return is_single() ? 1 : x.sizes[0]; }
    Shape state_shape(std::int64_t H) const { return is_single() ? Shape(H) : Shape(x.sizes[0], H); }

private:
    nb::object held_[2];  // the states: another thread may take them out of a list meanwhile

    bool hold_states(nb::handle hx, bool memory) {
        if (!memory) return held_[0] = nb::borrow(hx), true;
        if (!PyTuple_CheckExact(hx.ptr()) && !PyList_CheckExact(hx.ptr())) return false;
        if (PySequence_Fast_GET_SIZE(hx.ptr()) != 2) return false;
        for (int k = 0; k < 2; ++k) held_[k] = nb::borrow(PySequence_Fast_GET_ITEM(hx.ptr(), k));
        return true;
    }

    bool read(nb::handle value, const Shape& shape, TensorView& to) const {
        if (!is_plain_tensor(value) || !read_tensor(value, to)) return false;
        return to.type == x.type && to.is_of(shape) && has_memory(to);
    }

    static bool has_memory(const TensorView& view) { return view.address || view.is_empty(); }
};

// Whether the arguments of a step fit. Also false if that can't be determined quickly; Python's checks then decide. `hx`: None,
// or a tuple or list (h, c). `weights`: ih, hh, b_ih, b_hh or None.
inline bool cell_fits(nb::handle input, nb::handle hx, nb::tuple weights, std::int64_t C, std::int64_t H) {
    CellReader reader;
    if (!reader.read_input(input, C)) return false;
    const bool floats = reader.x.type.code == kFloat32.code || reader.x.type.code == kBfloat16.code;
    return floats && reader.read_others(hx, [&](std::int64_t k) { return nb::handle(weights[static_cast<std::size_t>(k)]); }, C, H);
}

}  // namespace hiddenstate
