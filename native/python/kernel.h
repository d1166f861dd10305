// The scan of one instruction set and precision as Python sees it: forward, backward, and packing.
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

// Weights of all layers, packed for single steps; kept alive by the Python object that holds this.
template <class P>
class PackedWeights {
public:
    // `weights`: a tuple of five for each layer. Throws Refused.
    PackedWeights(const Scan<P>& scan, nb::handle weights, std::int64_t C, std::int64_t H);

    Packed<P> at(typename P::element* scratch) const { return {bytes_.get(), bias_.get(), scratch}; }

    const Scan<P>& scan;
    const std::int64_t layers, C, H;

private:
    struct Free {
        void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
    };
    template <class T>
    using Aligned = std::unique_ptr<T, Free>;

    Aligned<void> bytes_;
    Aligned<typename P::real> bias_;
};

// A call as the kernel reads it, and what has to live as long.
template <class P>
struct CallFromPython {
    using real = typename P::real;

    Call<P> call;
    std::vector<std::int64_t> lengths;  // a copy, which nobody changes after the checks
    std::vector<typename P::element> h0;  // zeros, where a gradient needs them
    std::vector<std::unique_ptr<Edits<real>>> edits;
    std::vector<real> c0;
    std::vector<nb::object> kept;
};

// `call`: engine.call.Call. `edits`: None, or for each layer and direction None or a list of
// (place, kind, value [steps, rows, units], steps, rows, units). Gives out, h_n, c_n, and lists of records or None, as Outputs has
// them. Throws Refused.
template <class P>
nb::object forward(const Scan<P>& scan, nb::handle call, nb::handle edits, const std::vector<bool>& shown, bool gradient);

// The gradients of x, h0, c0 and the weights that are `asked` for (bools), None for others. `saved`: out, and lists: of each layer and direction
// the gates before edits, and c; of each layer but the last its output. `grads`: those of out, h_n, c_n, and lists of those of gates
// and c, each None for zeros but the first. Throws Refused.
template <class P>
nb::object backward(const Scan<P>& scan, nb::handle call, nb::handle edits, nb::handle saved, nb::tuple grads,
                    nb::handle asked);

}  // namespace hiddenstate

#include "python/kernel_body.h"
