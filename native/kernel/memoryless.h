// Code shared by the kinds of cells without a cell state.
#pragma once

#include "kernel/vec.h"

namespace hiddenstate {
namespace {

// Replaces lstm.h's Cells, which computes the hidden states of several cells together: here each hidden state is known immediately.
template <int>
struct NoCells {
    template <class Gates>
    void add(vf h, const Gates&, element* to, std::int64_t lanes) const { store(to, h, lanes); }
    void store_hidden() const {}
};

}  // namespace
}  // namespace hiddenstate
