// Draws the same dropout masks as torch; see random/twister.h.
#pragma once

#include <cstring>

#include "python/kernel.h"
#include "random/twister.h"

namespace hiddenstate {

// `mask` is [n]. `kept` is the value of the entries that are kept, 1 / (1 - p) in the mask's type.
template <class Element, class Number = Element>
void draw_mask(nb::handle state, nb::handle mask, std::int64_t count, double keeping, Number kept) {
    Reader reader;
    std::int64_t* of_generator = nullptr;
    Element* to = nullptr;
    require(reader.read(state, Shape(kTwisterNumbers), "generator's state", of_generator) &&
                reader.read(mask, Shape(count), "dropout mask", to), reader);
    const nb::gil_scoped_release released;
    TwisterState drawn;
    std::memcpy(&drawn, of_generator, sizeof drawn);
    Twister twister(drawn);
    draw_bernoulli(twister, keeping, kept, count, reinterpret_cast<Number*>(to));
    twister.store(drawn);
    std::memcpy(of_generator, &drawn, sizeof drawn);
}

// `state` is a generator's state, as int64; it is updated to the state after the draws.
inline void draw_any_mask(nb::handle state, nb::handle mask, double keeping, double kept) {
    Reader reader;
    TensorView view;
    require((read_tensor(mask, view) && view.rank == 1) || reader.refusal.because("dropout mask", "form", mask, nullptr), reader);
    const auto of = [&](auto type, auto number) { draw_mask<decltype(type)>(state, mask, view.sizes[0], keeping, number); };
    if (view.type == kFloat64) return of(double{}, kept);
    const auto single = static_cast<float>(kept);
    if (view.type == kFloat32) return of(float{}, single);
    std::uint32_t bits;  // bfloat16 is the upper half, which represents `kept` exactly
    std::memcpy(&bits, &single, sizeof bits);
    of(bfloat16{}, static_cast<std::uint16_t>(bits >> 16));
}

}  // namespace hiddenstate
