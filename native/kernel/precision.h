// In which numbers a scan computes.
//
// An element is what is stored and multiplied: inputs, hidden states, weights, gradients of pre-activations. A real is
// what sums, gates and cell states are kept in.
#pragma once

#include <cstdint>

namespace hiddenstate {

struct bfloat16 {
    std::uint16_t bits;  // the upper half of a float
};

struct F32 {
    using element = float;
    using real = float;
    static constexpr const char* name = "float32";
};

struct F64 {
    using element = double;
    using real = double;
    static constexpr const char* name = "float64";
};

// Products of bfloat16 numbers, added up in float32.
struct BF16 {
    using element = bfloat16;
    using real = float;
    static constexpr const char* name = "bfloat16";
};

}  // namespace hiddenstate
