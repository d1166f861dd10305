// Code that the kinds of cells without a cell state share.
#pragma once

#include "kernel/vec.h"

namespace hiddenstate {
namespace {

// Takes the place of the cells of a tile, whose hidden states an LSTM computes together: here each is known immediately.
template <int>
struct NoCells {
    template <class Gates>
    void add(vf h, const Gates&, element* to, std::int64_t lanes) const { store(to, h, lanes); }
    void store_hidden() const {}
};

}  // namespace
}  // namespace hiddenstate
