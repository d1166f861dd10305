// The scan of one instruction set and precision, for Python: forward, backward, and packing.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "python/read.h"
#include "python/run.h"

namespace hiddenstate {

// Raised in Python as hiddenstate._native.RefusedError(argument, reason, value, expected).
struct Refused {
    Refusal refusal;
};

// Packed weights of all layers and directions. The Python object that holds this keeps them alive.
template <class P>
class PackedWeights {
public:
    // `weights` is a tuple of five for each layer and direction. Throws Refused.
    PackedWeights(const Scan<P>& scan, nb::handle weights, std::int64_t C, std::int64_t H, std::int64_t directions);

    // Sets the packed weights in a call; returns whether they fit the call.
    bool serve(const Scan<P>& of, Call<P>& call) const {
        const bool fits = &of == &scan && call.C == C && call.H == H && call.P == H && call.directions == directions &&
                          static_cast<std::int64_t>(call.layers.size()) == layers;
        const auto* at = static_cast<const unsigned char*>(bytes_.get());
        for (std::int64_t k = 0; fits && k < layers; ++k) {
            Weights<P>& weights = call.layers[static_cast<std::size_t>(k)].weights;
            weights.packed = at, weights.packed_bias = bias_.get() + k * scan.packed_bias_size(H);
            at += scan.packed_bytes(features(k), H);
        }
        return fits;
    }

    // Whether the other one has the same bytes. (Padding is zero, so weights determine all bytes.)
    bool equals(const PackedWeights& other) const {
        const auto bias_bytes = static_cast<std::size_t>(layers * scan.packed_bias_size(H)) * sizeof(typename P::real);
        return &other.scan == &scan && other.layers == layers && other.C == C && other.H == H && other.directions == directions &&
               std::memcmp(other.bytes_.get(), bytes_.get(), nbytes()) == 0 &&
               std::memcmp(other.bias_.get(), bias_.get(), bias_bytes) == 0;
    }

    // The packed weights, with scratch memory for the results of a step for N rows.
    Packed<P> at(typename P::element* scratch, std::int64_t N) const { return {bytes_.get(), bias_.get(), scratch, nullptr, N}; }

    const Scan<P>& scan;
    const std::int64_t layers, C, H, directions;  // `layers` is the number per direction

private:
    std::int64_t features(std::int64_t k) const { return k < directions ? C : directions * H; }

    std::size_t nbytes() const {
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < layers; ++k) sum += scan.packed_bytes(features(k), H);
        return static_cast<std::size_t>(sum);
    }

    struct Free {
        void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
    };
    template <class T>
    using Aligned = std::unique_ptr<T, Free>;

    Aligned<void> bytes_;
    Aligned<typename P::real> bias_;
};

// A call in the form that the kernel reads, with the data that must live as long as the call.
template <class P>
struct CallFromPython {
    using real = typename P::real;

    Call<P> call;
    std::vector<std::int64_t> lengths;  // a copy, because another thread may change the tensor after the checks
    std::vector<typename P::element> h0;  // zeros, if backward needs initial states and none were given; the same for c0
    std::vector<std::unique_ptr<Edits<real>>> edits;
    std::vector<real> c0;
    std::vector<nb::object> keep_alive;
};

// `call` is an engine.call.Call. `edits` is None, or has for each layer and direction None or a list of (place, kind, value [steps, rows,
// units], steps, rows, units). Returns the fields of Outputs: out, h_n, c_n, and lists of records or None. Throws Refused.
template <class P>
nb::object forward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle shown, bool gradient);

// Returns the gradients of x, h0, c0, reset_h, reset_c and the weights; None where `wanted` (a list of bools) is false. `saved` has out and
// three lists: the gates before edits (or None) and c of each layer and direction, and the outputs of all layers except the last. `grads`
// has the gradients of out, h_n and c_n, and lists of those of the gates and c; each except the first may be None, which means zeros.
// Throws Refused.
template <class P>
nb::object backward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle saved, nb::tuple grads,
                    nb::handle wanted);

}  // namespace hiddenstate

#include "python/kernel_body.h"
