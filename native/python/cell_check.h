// The checks of an LSTMCell's arguments at once, which one by one in Python take as long as the step of a small cell.
#pragma once

#include "python/read.h"

namespace hiddenstate {

// Reads the tensors of one step, and compares them with the first.
class CellReader {
public:
    // The input [N, C] or [C].
    bool read_input(nb::handle input, std::int64_t C) {
        if (!is_plain_tensor(input) || !read_tensor(input, x_)) return false;
        const bool floats = x_.type.code == kFloat32.code || x_.type.code == kBfloat16.code;
        return floats && (x_.rank == 1 || x_.rank == 2) && x_.sizes[x_.rank - 1] == C && has_memory(x_);
    }

    // A state of H units, without N if the input has none.
    bool reads_state(nb::handle state, std::int64_t H) const {
        return reads(state, x_.rank == 1 ? Shape(H) : Shape(x_.sizes[0], H));
    }

    // Another tensor of the same type.
    bool reads(nb::handle value, const Shape& shape) const {
        TensorView view;
        if (!is_plain_tensor(value) || !read_tensor(value, view)) return false;
        return view.type == x_.type && view.is_of(shape) && has_memory(view);
    }

private:
    static bool has_memory(const TensorView& view) { return view.address || view.is_empty(); }

    TensorView x_;
};

// Whether these are torch's own tensors on the CPU, of one floating type, of the right shapes, with all of their memory. False
// also if that can't be told at once; Python's checks then decide. `hx`: None or (h, c). `weights`: ih, hh, b_ih, b_hh or None.
inline bool cell_fits(nb::handle input, nb::handle hx, nb::tuple weights, std::int64_t C, std::int64_t H) {
    CellReader reader;
    if (!reader.read_input(input, C)) return false;
    if (!hx.is_none()) {
        if (!PyTuple_CheckExact(hx.ptr()) || PyTuple_GET_SIZE(hx.ptr()) != 2) return false;
        for (const Py_ssize_t k : {0, 1}) {
            if (!reader.reads_state(PyTuple_GET_ITEM(hx.ptr(), k), H)) return false;
        }
    }
    for (std::int64_t k = 0; k < 4; ++k) {
        const nb::handle weight = weights[static_cast<std::size_t>(k)];
        if (!(k >= 2 && weight.is_none()) && !reader.reads(weight, weight_shape(k, C, H, H))) return false;
    }
    return true;
}

}  // namespace hiddenstate
