// A call of a whole LSTM on torch's tensors, and its gradients, at the least cost: the plainest one, of numbers that lie as the
// scan reads them.
// In Python the checks and the making of tensors take longer than the scan of a short sequence does.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "exchange.h"

namespace hiddenstate {

namespace nb = nanobind;

// Where things lie, as scan.h: Layers has them; of each layer and direction five weights, 0 for one that is not there.
struct PlainJob {
    std::uintptr_t x = 0, h0 = 0, c0 = 0, out = 0, h_n = 0, c_n = 0;
    std::vector<std::uintptr_t> weights, gates, c, between;  // the last three empty where nothing is kept
    std::vector<std::int64_t> lengths;                       // a copy, which nobody changes after the checks; or empty
    std::int64_t T = 0, N = 0, C = 0, H = 0, P = 0, directions = 1, x_step = 0, x_row = 0;
    int threads = 1;
};

// Likewise as scan.h: LayersBackward has them; of each layer and direction four gradients of weights.
struct PlainGradient : PlainJob {
    std::uintptr_t dout = 0, dh_n = 0, dc_n = 0, dx = 0, dh0 = 0, dc0 = 0;
    std::vector<std::uintptr_t> dweights;
};

// Of one to three axes.
struct Shape {
    std::int32_t rank;
    std::int64_t sizes[3];

    explicit Shape(std::int64_t a) : rank(1), sizes{a, 0, 0} {}
    Shape(std::int64_t a, std::int64_t b) : rank(2), sizes{a, b, 0} {}
    Shape(std::int64_t a, std::int64_t b, std::int64_t c) : rank(3), sizes{a, b, c} {}
};

// What calls of all LSTMs with elements of one type have in common.
class PlainCall {
public:
    struct Kernel {
        std::function<void(const PlainJob&)> run;
        std::function<void(const PlainGradient&)> gradients;
    };

    // `tensor`, `parameter`: the types of what is read. `make(shape, dtype=, device=)` makes a tensor.
    // `threads(T, N, C, H)`: how many are worth waking.
    PlainCall(Kernel kernel, nb::dlpack::dtype element, nb::object tensor, nb::object parameter, nb::object make,
              nb::object dtype, nb::object device, nb::object threads);

    // out and (h_n, c_n), both time first, without N where x has none; None where something is not as plain as that: then
    // nothing was done. `hx` is None or a pair, `lengths` None or integers [N]. `names` are those of each layer and direction's
    // five weights in `parameters`, None for one that it has not. With `keep` a third: lists of what the run kept, [T, N, units]
    // also where x has no N: the gates and the cell states of each layer and direction, and the outputs of all layers but the last.
    nb::object run(nb::handle x, nb::handle hx, nb::handle lengths, nb::handle parameters, nb::handle names, std::int64_t C,
                   std::int64_t H, std::int64_t P, std::int64_t directions, bool batch_first, bool keep) const;

    // The gradients of x, h0, c0 and the weights that are `needed`, None for others; or None, as above. `saved`: lengths or None,
    // out, what the run kept in the order above, x, h0, c0 and the weights. `grads`: those of out, h_n and c_n, the last two
    // None for zeros.
    nb::object gradients(nb::handle saved, nb::handle grads, nb::handle needed, std::int64_t tracks, std::int64_t C,
                         std::int64_t H, std::int64_t P, std::int64_t directions) const;

private:
    using Addresses = std::vector<std::uintptr_t>;

    bool look(nb::handle tensor, nb::dlpack::dtype type, Exchange::Tensor& found) const;
    std::uintptr_t find(nb::handle tensor, const Shape& shape) const;
    bool find_or_none(nb::handle tensor, const Shape& shape, std::uintptr_t& found) const;
    bool find_input(nb::handle x, bool batch_first, PlainJob& job, bool& single) const;
    bool find_state(nb::handle hx, std::int64_t tracks, bool single, PlainJob& job) const;
    bool find_lengths(nb::handle lengths, bool single, PlainJob& job) const;
    template <class Get>
    bool find_weights(std::int64_t tracks, const Get& get, PlainJob& job) const;
    nb::object made(const Shape& shape, std::uintptr_t& address) const;
    bool make_kept(std::int64_t count, std::int64_t units, const PlainJob& job, nb::list& tensors, Addresses& addresses) const;
    bool make_gradients(nb::handle needed, std::int64_t tracks, PlainGradient& job, std::vector<nb::object>& made) const;

    const Kernel kernel_;
    const nb::dlpack::dtype element_;
    const nb::object tensor_, parameter_, make_, dtype_, device_, threads_;
    const Exchange exchange_;
};

void bind_plain_call(nb::module_& m);

}  // namespace hiddenstate
