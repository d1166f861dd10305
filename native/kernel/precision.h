// The number types of a scan.
//
// Inputs, hidden states, weights and gradients of pre-activations are elements: they are stored and multiplied in this type.
// Sums, gates and cell states are reals.
#pragma once

#include <cstdint>

namespace hiddenstate {

struct bfloat16 {
    std::uint16_t bits;  // the upper half of a float
};

struct float16 {
    std::uint16_t bits;
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

// Multiplies bfloat16 numbers and sums the products in float32.
struct BF16 {
    using element = bfloat16;
    using real = float;
    static constexpr const char* name = "bfloat16";
};

}  // namespace hiddenstate
