// The scan of one instruction set and precision, for Python: forward, backward, and packing.
#pragma once

#include <memory>
#include <vector>

#include "python/read.h"
#include "python/run.h"

namespace hiddenstate {

// Raised in Python as hiddenstate._native.RefusedError(argument, reason, value, expected).
struct Refused {
    Refusal refusal;
};

// Packed weights of all layers and directions; kept alive by the Python object that holds this.
template <class P>
class PackedWeights {
public:
    // `weights`: a tuple of five for each layer and direction. Throws Refused.
    PackedWeights(const Scan<P>& scan, nb::handle weights, std::int64_t C, std::int64_t H, std::int64_t directions);

    // Sets them in a call; returns whether they fit it.
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

    // With room for the results of a step for the N rows of the states.
    Packed<P> at(typename P::element* scratch, std::int64_t N) const { return {bytes_.get(), bias_.get(), scratch, nullptr, N}; }

    const Scan<P>& scan;
    const std::int64_t layers, C, H, directions;  // `layers`: the layers of each direction

private:
    std::int64_t features(std::int64_t k) const { return k < directions ? C : directions * H; }

    struct Free {
        void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
    };
    template <class T>
    using Aligned = std::unique_ptr<T, Free>;

    Aligned<void> bytes_;
    Aligned<typename P::real> bias_;
};

// A call in the form that the kernel reads, and the data that must live as long.
template <class P>
struct CallFromPython {
    using real = typename P::real;

    Call<P> call;
    std::vector<std::int64_t> lengths;  // a copy, because another thread may change the tensor after the checks
    std::vector<typename P::element> h0;  // zeros, if backward needs them and none were given; so is c0
    std::vector<std::unique_ptr<Edits<real>>> edits;
    std::vector<real> c0;
    std::vector<nb::object> keep_alive;
};

// `call`: engine.call.Call. `edits`: None, or for each layer and direction None or a list of (place, kind, value [steps, rows,
// units], steps, rows, units). Returns the fields of Outputs: out, h_n, c_n, and lists of records or None. Throws Refused.
template <class P>
nb::object forward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle shown, bool gradient);

// Returns the gradients of x, h0, c0, reset_h, reset_c and the weights for which `wanted` (bools) is true, None for others.
// `saved`: out, and lists: for each layer and direction the gates before edits or None, and c; for each layer but the last its output.
// `grads`: the gradients of out, h_n, c_n, and lists of those of gates and c; each but the first may be None, for zeros. Throws
// Refused.
template <class P>
nb::object backward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle saved, nb::tuple grads,
                    nb::handle wanted);

}  // namespace hiddenstate

#include "python/kernel_body.h"
