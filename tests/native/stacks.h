// Checks several layers and directions, in one call and in single steps, against the reference.
#pragma once

#include "tracks.h"

namespace hiddenstate::test {

// A stack of layers: a track for each layer and direction, and the results of the reference, one after another.
struct Stack {
    std::vector<Track> tracks;
    Numbers dropout_masks;  // of every layer but the last
    Numbers h_n, c_n, gates, raw_gates, c, layer_outputs, out;  // of the reference

    // Runs the reference through all layers of D directions. Each reads the output of the layer below, times its dropout mask.
    void run(Size D) {
        for (std::size_t k = 0; k < tracks.size(); ++k) {
            Track& track = tracks[k];
            if (k % static_cast<std::size_t>(D) == 0 && k > 0) track.x = next_input(track);
            if (k % static_cast<std::size_t>(D) == 1) track.x = tracks[k - 1].x;
            const reference::Scanned s = reference::forward(track);
            append(h_n, s.h_n), append(c_n, s.c_n), append(gates, s.gates), append(c, s.c);
            append(raw_gates, s.raw_gates);
            join(s.out, track, D, static_cast<Size>(k) % D);
        }
    }

private:
    static void append(Numbers& to, const Numbers& from) { to.insert(to.end(), from.begin(), from.end()); }

    Numbers next_input(const Track& track) {
        const std::size_t first = layer_outputs.size();
        append(layer_outputs, out);
        Numbers next = out;
        for (std::size_t i = 0; i < next.size(); ++i) next[i] = track.rounded(next[i] * dropout_masks[first + i]);
        return next;
    }

    void join(const Numbers& from, const Track& track, Size D, Size direction) {
        const Size H = track.H;
        if (direction == 0) out = reference::zeros(track.T * track.N * D * H);
        for (Size row = 0; row < track.T * track.N; ++row) {
            std::copy_n(from.begin() + row * H, H, out.begin() + (row * D + direction) * H);
        }
    }
};

template <class P>
Stack random_stack(Random& random, const Shape& shape, const With& with, Size L, Size D, bool drops) {
    Stack stack;
    for (Size k = 0; k < L * D; ++k) {
        const Shape of_layer{shape.T, shape.N, k < D ? shape.C : D * shape.H, shape.H, shape.cell};
        Track track = rounding_track<P>(random, of_layer, with, k);
        track.reverse = k % D == 1;
        if (k > 0) track.lengths = stack.tracks[0].lengths, track.reset = stack.tracks[0].reset;
        stack.tracks.push_back(std::move(track));
    }
    // As in dropout, zeros and numbers above 1.
    stack.dropout_masks = random.numbers((L - 1) * shape.T * shape.N * D * shape.H, 0);
    for (double& v : stack.dropout_masks) v = drops ? static_cast<double>(2 * random.below(2)) : 1;
    stack.run(D);
    return stack;
}

// One array of a part of all tracks, which a scan takes as one.
template <class T>
Array<T> joined(const Stack& stack, Numbers Track::*part, bool shifted) {
    Numbers all;
    for (const Track& track : stack.tracks) all.insert(all.end(), (track.*part).begin(), (track.*part).end());
    return {all, shifted};
}

// Pointers to `count` equal parts of an array.
template <class T>
std::vector<T*> parts(const Array<T>& all, Size count) {
    std::vector<T*> found;
    for (Size k = 0; k < count; ++k) found.push_back(all.data() + k * (all.size() / count));
    return found;
}

// A stack as arguments of a scan, with the dropout masks of `dropping` layers: all but the last, or none.
template <class P>
struct StackInputs {
    using element = typename P::element;
    using real = typename P::real;

    std::vector<Inputs<P>> tracks;
    const With with;
    const Array<element> h0, reset_h, masks;
    const Array<real> c0, reset_c;
    std::vector<const element*> dropout_masks;

    StackInputs(const Stack& stack, const With& with, Size dropping)
        : with(with), h0(joined<element>(stack, &Track::h0, with.shifted)),
          reset_h(joined<element>(stack, &Track::reset_h, with.shifted)), masks(stack.dropout_masks, with.shifted),
          c0(joined<real>(stack, &Track::c0, with.shifted)), reset_c(joined<real>(stack, &Track::reset_c, with.shifted)) {
        for (const Track& track : stack.tracks) tracks.emplace_back(track, with);
        for (const element* of_layer : parts(masks, dropping)) dropout_masks.push_back(of_layer);
    }
};

// The call of a stack of D directions, without its outputs and records.
template <class P>
Call<P> call_of(const StackInputs<P>& given, Size D, int threads) {
    Call<P> call = call_of(given.tracks[0], threads);
    call.directions = D, call.reverse = false;
    call.h0 = call.h0 ? given.h0.data() : nullptr, call.c0 = call.c0 ? given.c0.data() : nullptr;
    const Track& first = given.tracks[0].track;
    call.reset_h = border_states<const typename P::element>(first, given.with, given.reset_h.data(), first.H);
    call.reset_c = border_states<const typename P::real>(first, given.with, given.reset_c.data(), first.M());
    call.dropout_masks = given.dropout_masks;
    call.layers.clear();
    for (const Inputs<P>& track : given.tracks) {
        call.layers.push_back({track.weights(), track.edits.get(), nullptr, nullptr, nullptr});
    }
    return call;
}

template <class P>
void check_layers(const Scan<P>& scan, Random& random, bool is_long) {
    using element = typename P::element;
    using real = typename P::real;
    Shape shape = random_shape(random, cell_of(scan));
    if (is_long) shape.T += 20, shape.N = 1 + shape.N % 4;  // layers at the same time, over several chunks
    const With with = With::random(random);
    const Size L = 1 + random.below(4), D = 1 + random.below(2);
    const bool drops = random.below(4) == 0, records = random.coin();
    const Stack stack = random_stack<P>(random, shape, with, L, D, drops);
    const Described described("layers", stack.tracks[0], with);
    const StackInputs<P> given(stack, with, drops ? L - 1 : 0);
    // The reference is in float64, too, so there both round, in every layer.
    const double tolerance = kTolerance<P> * (sizeof(real) == sizeof(double) ? static_cast<double>(L) : 1);
    const Size steps = shape.T * shape.N, record = stack.tracks[0].R() * shape.H, M = stack.tracks[0].M();
    for (const int threads : {1, 2, 3}) {
        Array<element> out(shape.T * shape.N * D * shape.H, with.shifted), h_n(given.h0.size(), with.shifted);
        Array<element> layer_outputs(given.masks.size(), with.shifted);
        Array<real> c_n(given.c0.size(), with.shifted), c(records ? L * D * steps * M : 0, with.shifted);
        Array<real> gates(records ? L * D * steps * record : 0, with.shifted), raw_gates(gates.size(), with.shifted);
        Call<P> call = call_of(given, D, threads);
        call.out = out.fill(kUntouched).data(), call.h_n = h_n.fill(kUntouched).data(), call.c_n = c_n.fill(kUntouched).data();
        gates.fill(kUntouched), raw_gates.fill(kUntouched), c.fill(kUntouched), layer_outputs.fill(kUntouched);
        for (Size k = 0; records && k < L * D; ++k) {
            auto& layer = call.layers[static_cast<std::size_t>(k)];
            layer.gates = gates.data() + k * steps * record, layer.c = c.data() + k * steps * M;
            layer.raw_gates = raw_gates.data() + k * steps * record;
        }
        if (records) call.layer_outputs = parts(layer_outputs, L - 1);
        scan.forward(call);
        expect_close("out", out, stack.out, tolerance), expect_close("h_n", h_n, stack.h_n, tolerance);
        expect_close("c_n", c_n, stack.c_n, tolerance);
        if (!records) continue;
        expect_close("gates", gates, stack.gates, tolerance), expect_close("c", c, stack.c, tolerance);
        expect_close("raw_gates", raw_gates, stack.raw_gates, tolerance);
        expect_close("layer_outputs", layer_outputs, stack.layer_outputs, tolerance);
    }
}

// The gradients of a stack's outputs, and those that the reference computes from them.
struct StackGradients {
    Numbers dout, dh_n, dc_n, dgates, dc;  // given
    Numbers dx, dh0, dc0, dreset_h, dreset_c;
    std::vector<reference::Gradients> weights;  // of each layer and direction

    StackGradients(Random& random, const Stack& stack, Size D, double recorded)
        : dout(random.numbers(static_cast<Size>(stack.out.size()), 1)),
          dh_n(random.numbers(static_cast<Size>(stack.h_n.size()), 1)),
          dc_n(random.numbers(static_cast<Size>(stack.c_n.size()), 1)),
          dgates(random.numbers(static_cast<Size>(stack.gates.size()), recorded)),
          dc(random.numbers(static_cast<Size>(stack.c.size()), recorded)), weights(stack.tracks.size()) {
        Numbers below = dout;
        for (Size first = static_cast<Size>(stack.tracks.size()) - D; first >= 0; first -= D) {
            if (first + D < static_cast<Size>(stack.tracks.size())) below = dropped(stack, first / D);
            dx.clear();
            for (Size k = first; k < first + D; ++k) run(stack, static_cast<std::size_t>(k), D, below);
        }
        for (const reference::Gradients& of_track : weights) {
            append(dh0, of_track.h0), append(dc0, of_track.c0);
            append(dreset_h, of_track.reset_h), append(dreset_c, of_track.reset_c);
        }
    }

private:
    static void append(Numbers& to, const Numbers& from) { to.insert(to.end(), from.begin(), from.end()); }

    // The gradient of a layer's output, from that of the input of the layer above: times the dropout mask.
    Numbers dropped(const Stack& stack, Size layer) const {
        Numbers found = dx;
        for (std::size_t i = 0; i < found.size(); ++i) {
            const double mask = stack.dropout_masks[static_cast<std::size_t>(layer) * found.size() + i];
            found[i] = stack.tracks[0].rounded(found[i] * mask);
        }
        return found;
    }

    void run(const Stack& stack, std::size_t k, Size D, const Numbers& of_layer) {
        const Track& track = stack.tracks[k];
        const Size rows = track.T * track.N, H = track.H, states = track.N * H, mine = static_cast<Size>(k), R = rows * track.R() * H;
        const Size M = track.M();
        reference::Given given{reference::zeros(rows * H), reference::slice(dgates, mine * R, R),
                               reference::slice(dc, mine * rows * M, rows * M), reference::slice(dh_n, mine * states, states),
                               reference::slice(dc_n, mine * track.N * M, track.N * M)};
        for (Size row = 0; row < rows; ++row) {
            std::copy_n(of_layer.begin() + (row * D + mine % D) * H, H, given.out.begin() + row * H);
        }
        weights[k] = reference::backward(track, reference::forward(track), given);
        if (dx.empty()) dx.resize(weights[k].x.size());
        for (std::size_t i = 0; i < dx.size(); ++i) dx[i] = track.rounded(dx[i] + track.rounded(weights[k].x[i]));
    }
};

// The gradients that a scan computes for a stack.
template <class P>
struct StackFound {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> dx;
    std::vector<Found<P>> weights;
    Array<real> dh0, dc0, dreset_h, dreset_c;

    StackFound(const Stack& stack, bool shifted)
        : dx(static_cast<Size>(stack.tracks[0].x.size()), shifted), dh0(static_cast<Size>(stack.h_n.size()), shifted),
          dc0(static_cast<Size>(stack.c_n.size()), shifted), dreset_h(of_borders(stack, &Track::reset_h), shifted),
          dreset_c(of_borders(stack, &Track::reset_c), shifted) {
        dx.fill(kUntouched), dh0.fill(kUntouched), dc0.fill(kUntouched), dreset_h.fill(0), dreset_c.fill(0);
        for (const Track& track : stack.tracks) weights.emplace_back(track, shifted);
    }

    bool operator==(const StackFound& other) const {
        return dx == other.dx && dh0 == other.dh0 && dc0 == other.dc0 && dreset_h == other.dreset_h &&
               dreset_c == other.dreset_c && weights == other.weights;
    }

private:
    static Size of_borders(const Stack& stack, Numbers Track::*states) {
        return static_cast<Size>(stack.tracks.size() * (stack.tracks[0].*states).size());
    }
};

template <class P>
void check_layers_backward(const Scan<P>& scan, Random& random) {
    using element = typename P::element;
    using real = typename P::real;
    const Shape shape = random_shape(random, cell_of(scan));
    With with = With::random(random);
    with.states = true;
    const Size L = 1 + random.below(3), D = 1 + random.below(2);
    const bool drops = random.coin(), recorded = random.coin();
    const Stack stack = random_stack<P>(random, shape, with, L, D, drops);
    const StackGradients want(random, stack, D, recorded);
    const Described described("layers backward", stack.tracks[0], with);
    const StackInputs<P> given(stack, with, drops ? L - 1 : 0);
    const Array<element> layer_outputs(stack.layer_outputs, with.shifted), out(stack.out, with.shifted);
    const Array<element> dout(want.dout, with.shifted);
    const Array<real> dgates(want.dgates, with.shifted), dc(want.dc, with.shifted);
    const Array<real> gates(stack.raw_gates, with.shifted), c(stack.c, with.shifted);
    const Array<real> dh_n(want.dh_n, with.shifted), dc_n(want.dc_n, with.shifted);
    const std::size_t count = static_cast<std::size_t>(L * D);
    const std::vector<real*> of_gates = parts(gates, L * D), of_c = parts(c, L * D), more_gates = parts(dgates, L * D),
                             more_c = parts(dc, L * D);
    const auto run = [&](int threads) {
        StackFound<P> got(stack, with.shifted);
        Call<P> call = call_of(given, D, threads);
        call.out = out.data(), call.layer_outputs = parts(layer_outputs, L - 1);
        Gradients<P> gradients;
        for (std::size_t k = 0; k < count; ++k) {
            (call.layers[k].edits ? call.layers[k].raw_gates : call.layers[k].gates) = of_gates[k];
            call.layers[k].c = of_c[k];
            const Found<P>& to = got.weights[k];
            gradients.layers.push_back({recorded ? more_gates[k] : nullptr, recorded ? more_c[k] : nullptr, to.w_ih.data(),
                                        to.w_hh.data(), to.b.data(), nullptr, to.b_hh.size() ? to.b_hh.data() : nullptr});
        }
        gradients.out = dout.data(), gradients.h_n = dh_n.data(), gradients.c_n = dc_n.data();
        gradients.x = got.dx.data(), gradients.h0 = got.dh0.data(), gradients.c0 = got.dc0.data();
        gradients.reset_h = border_states(stack.tracks[0], with, got.dreset_h.data(), shape.H);
        gradients.reset_c = border_states(stack.tracks[0], with, got.dreset_c.data(), stack.tracks[0].M());
        scan.backward(call, gradients);
        return got;
    };
    const StackFound<P> got = run(1);
    const double tolerance = static_cast<double>(L) * kTolerance<P>;
    expect_close("dx", got.dx, want.dx, tolerance);
    expect_close("dh0", got.dh0, want.dh0, tolerance), expect_close("dc0", got.dc0, want.dc0, tolerance);
    expect_close("dreset_h", got.dreset_h, want.dreset_h, tolerance);
    expect_close("dreset_c", got.dreset_c, want.dreset_c, tolerance);
    for (std::size_t k = 0; k < got.weights.size(); ++k) {
        expect_close("dW_ih", got.weights[k].w_ih, want.weights[k].w_ih, tolerance);
        expect_close("dW_hh", got.weights[k].w_hh, want.weights[k].w_hh, tolerance);
        expect_close("db", got.weights[k].b, want.weights[k].b, tolerance);
        if (got.weights[k].b_hh.size()) expect_close("db_hh", got.weights[k].b_hh, want.weights[k].b_hh, tolerance);
    }
    for (const int threads : {2, 3, 4}) checks::that(run(threads) == got, "threads change the result");
}

// A stack as a stream: packed once, its states changed in place.
template <class P>
struct Stream {
    using element = typename P::element;
    using real = typename P::real;

    const Track& first;
    const Size L;
    bool close = false;  // whether threads share a step as helpers
    Array<unsigned char> w;
    Array<real> bias;
    Array<element> h, next;
    Array<real> c;

    Stream(const Scan<P>& scan, const Stack& stack, const With& with, int threads)
        : first(stack.tracks[0]), L(static_cast<Size>(stack.tracks.size())), w(bytes(scan, stack)),
          bias(L * scan.packed_bias_size(first.H)), h(joined<element>(stack, &Track::h0, with.shifted)),
          next(first.N * first.H, with.shifted), c(joined<real>(stack, &Track::c0, with.shifted)) {
        unsigned char* to = w.data();
        for (Size k = 0; k < L; ++k) {
            const Track& track = stack.tracks[static_cast<std::size_t>(k)];
            const Inputs<P> in(track, with);
            scan.pack(in.weights(), track.C, track.H, threads, to, bias.data() + k * scan.packed_bias_size(track.H));
            to += scan.packed_bytes(track.C, track.H);
        }
    }

    Array<element> run(const Scan<P>& scan, const Array<element>& x, int threads) {
        Array<element> out(first.T * first.N * first.H);
        out.fill(kUntouched);
        run(scan, x.data(), first.T, nullptr, out.data(), threads);
        return out;
    }

    // One step of some rows; x and out have these rows alone.
    Array<element> step(const Scan<P>& scan, const Array<element>& x, const std::vector<Size>& rows, int threads) {
        Array<element> out(static_cast<Size>(rows.size()) * first.H);
        out.fill(kUntouched);
        run(scan, x.data(), 1, &rows, out.data(), threads);
        return out;
    }

private:
    void run(const Scan<P>& scan, const element* x, Size T, const std::vector<Size>* rows, element* out, int threads) {
        Call<P> call;
        call.x = x, call.T = T, call.C = first.C, call.H = call.P = first.H;
        call.N = rows ? static_cast<Size>(rows->size()) : first.N;
        call.layers.resize(static_cast<std::size_t>(L));
        call.packed = {w.data(), bias.data(), next.data(), rows ? rows->data() : nullptr, first.N};
        call.packed.close = close;
        call.h0 = call.h_n = h.data(), call.c0 = call.c_n = c.data();
        call.out = out, call.threads = threads, call.relu = scan.relu;
        scan.forward(call);
    }

    static Size bytes(const Scan<P>& scan, const Stack& stack) {
        Size sum = 0;
        for (const Track& track : stack.tracks) sum += scan.packed_bytes(track.C, track.H);
        return sum;
    }
};

template <class P>
void check_steps(const Scan<P>& scan, Random& random) {
    const Shape shape = random_shape(random, cell_of(scan));
    With with = With::random(random);
    with.edits = with.lengths = with.reset = false;
    with.layout = 0;
    const Stack stack = random_stack<P>(random, shape, with, 1 + random.below(3), 1, false);
    const Described described("steps", stack.tracks[0], with);
    const Inputs<P> in(stack.tracks[0], with);
    for (const int threads : {-2, 1, 2, 3}) {
        Stream<P> stream(scan, stack, with, std::abs(threads));
        stream.close = threads < 0;
        expect_close("out", stream.run(scan, in.x, std::abs(threads)), stack.out, kTolerance<P>);
        expect_close("h", stream.h, stack.h_n, kTolerance<P>), expect_close("c", stream.c, stack.c_n, kTolerance<P>);
    }
}

// Rows that step in two parts, in any order, give what all together give, to the last bit; those that wait stay as they are.
template <class P>
void check_steps_of_rows(const Scan<P>& scan, Random& random) {
    using element = typename P::element;
    Shape shape = random_shape(random, cell_of(scan));
    shape.T = 1, shape.N += 1;
    With with = With::random(random);
    with.edits = with.lengths = with.reset = false, with.layout = 0;
    const Stack stack = random_stack<P>(random, shape, with, 1 + random.below(3), 1, false);
    const Described described("steps of rows", stack.tracks[0], with);
    const Track& first = stack.tracks[0];
    const Inputs<P> in(first, with);
    const int threads = static_cast<int>(1 + random.below(3));
    Stream<P> whole(scan, stack, with, 1), parts(scan, stack, with, 1);
    parts.close = random.below(2) == 1;
    const Array<element> want = whole.run(scan, in.x, 1);
    std::vector<Size> order;
    for (const std::int32_t row : random.some(first.N)) order.push_back(row);
    std::vector<Size> rest;
    for (Size n = 0; n < first.N; ++n) {
        if (std::find(order.begin(), order.end(), n) == order.end()) rest.push_back(n);
    }
    for (const std::vector<Size>& rows : {order, rest}) {
        if (rows.empty()) continue;
        Array<element> x(static_cast<Size>(rows.size()) * first.C), wanted(static_cast<Size>(rows.size()) * first.H);
        for (std::size_t k = 0; k < rows.size(); ++k) {
            std::copy_n(in.x.data() + rows[k] * first.C, first.C, x.data() + static_cast<Size>(k) * first.C);
            std::copy_n(want.data() + rows[k] * first.H, first.H, wanted.data() + static_cast<Size>(k) * first.H);
        }
        checks::that(parts.step(scan, x, rows, threads) == wanted, "rows alone give another output");
    }
    checks::that(parts.h == whole.h && parts.c == whole.c, "rows alone give another state");
}

template <class P>
void check_stacks(const Scan<P>& scan) {
    constexpr int kProblems = 20;
    Random random(6);
    for (Size k = 0; k < enough(scan, kProblems); ++k) {
        check_layers(scan, random, k % 2), check_layers_backward(scan, random), check_steps(scan, random);
        check_steps_of_rows(scan, random);
    }
}

}  // namespace hiddenstate::test
