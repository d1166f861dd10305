// Several layers and directions, in one call and in single steps, against the reference.
#pragma once

#include "tracks.h"

namespace hiddenstate::test {

// What a stack of layers has of a track's, one layer and direction after another.
struct Stack {
    std::vector<Track> tracks;
    Numbers noise;  // of every layer but the last
    Numbers h_n, c_n, gates, c, between, out;  // of the reference

    // Runs the reference through all layers of D directions, each of which reads what the one below gives, times noise.
    void run(Size D) {
        for (std::size_t k = 0; k < tracks.size(); ++k) {
            Track& track = tracks[k];
            if (k % static_cast<std::size_t>(D) == 0 && k > 0) track.x = handed_on(track);
            if (k % static_cast<std::size_t>(D) == 1) track.x = tracks[k - 1].x;
            const reference::Scanned s = reference::forward(track);
            append(h_n, s.h_n), append(c_n, s.c_n), append(gates, s.gates), append(c, s.c);
            join(s.out, track, D, static_cast<Size>(k) % D);
        }
    }

private:
    static void append(Numbers& to, const Numbers& from) { to.insert(to.end(), from.begin(), from.end()); }

    Numbers handed_on(const Track& track) {
        const std::size_t first = between.size();
        append(between, out);
        Numbers next = out;
        for (std::size_t i = 0; i < next.size(); ++i) next[i] = track.rounded(next[i] * noise[first + i]);
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
Stack random_stack(Random& random, const Shape& shape, const With& with, Size L, Size D, bool noisy) {
    Stack stack;
    for (Size k = 0; k < L * D; ++k) {
        const Shape of_layer{shape.T, shape.N, k < D ? shape.C : D * shape.H, shape.H};
        Track track = rounding_track<P>(random, of_layer, with, k);
        track.reverse = k % D == 1;
        if (k > 0) track.lengths = stack.tracks[0].lengths, track.reset = stack.tracks[0].reset;
        stack.tracks.push_back(std::move(track));
    }
    // As dropout makes it: zeros, and more than one.
    stack.noise = random.numbers((L - 1) * shape.T * shape.N * D * shape.H, 0);
    for (double& v : stack.noise) v = noisy ? static_cast<double>(2 * random.below(2)) : 1;
    stack.run(D);
    return stack;
}

// The parts of a stack that a scan takes as one array.
template <class T>
Array<T> joined(const Stack& stack, Numbers Track::*part, bool shifted) {
    Numbers all;
    for (const Track& track : stack.tracks) all.insert(all.end(), (track.*part).begin(), (track.*part).end());
    return {all, shifted};
}

// Where so many equal parts of an array begin.
template <class T>
std::vector<T*> parts(const Array<T>& all, Size count) {
    std::vector<T*> found;
    for (Size k = 0; k < count; ++k) found.push_back(all.data() + k * (all.size() / count));
    return found;
}

template <class T>
std::vector<const T*> read_only(const std::vector<T*>& found) {
    return {found.begin(), found.end()};
}

// A stack as a scan of all layers takes it, with the noise of so many of them.
template <class P>
struct StackInputs {
    using element = typename P::element;
    using real = typename P::real;

    std::vector<Inputs<P>> tracks;
    std::vector<Weights<P>> weights;
    const Array<element> h0, noise;
    const Array<real> c0;
    std::vector<const element*> noises;

    StackInputs(const Stack& stack, const With& with, Size noisy)
        : h0(joined<element>(stack, &Track::h0, with.shifted)), noise(stack.noise, with.shifted),
          c0(joined<real>(stack, &Track::c0, with.shifted)) {
        for (const Track& track : stack.tracks) tracks.emplace_back(track, with);
        for (const Inputs<P>& track : tracks) weights.push_back(track.weights());
        for (const element* of_layer : parts(noise, noisy)) noises.push_back(of_layer);
    }
};

template <class P>
void check_layers(const Scan<P>& scan, Random& random) {
    using element = typename P::element;
    using real = typename P::real;
    const Shape shape = random_shape(random);
    With with = With::random(random);
    const Size L = 1 + random.below(4), D = 1 + random.below(2);
    const bool noisy = random.coin(), keeps = random.coin();
    with.edits = false;
    const Stack stack = random_stack<P>(random, shape, with, L, D, noisy);
    const Track& first = stack.tracks[0];
    const Described described("layers", first, with);
    const StackInputs<P> given(stack, with, noisy ? L - 1 : 0);
    const Inputs<P>& in = given.tracks[0];
    const Size cells = L * D * shape.T * shape.N * shape.H;
    for (const int threads : {1, 2, 3}) {
        Array<element> out(shape.T * shape.N * D * shape.H, with.shifted), h_n(given.h0.size(), with.shifted);
        Array<element> between(given.noise.size(), with.shifted);
        Array<real> c_n(given.c0.size(), with.shifted), gates(keeps ? 4 * cells : 0, with.shifted), c(keeps ? cells : 0, with.shifted);
        const Size kept = keeps ? L * D : 0;
        scan.layers({in.x.data(), given.weights, with.states ? given.h0.data() : nullptr,
                     with.states ? given.c0.data() : nullptr, in.lengths_or_null(), in.reset_or_null(), given.noises,
                     out.fill(kUntouched).data(), parts(gates.fill(kUntouched), kept), parts(c.fill(kUntouched), kept),
                     parts(between.fill(kUntouched), keeps ? L - 1 : 0),
                     h_n.fill(kUntouched).data(), c_n.fill(kUntouched).data(), shape.T, shape.N, shape.C, shape.H, shape.H, D,
                     in.x_layout.step, in.x_layout.row, threads});
        expect_close("out", out, stack.out, kTolerance<P>), expect_close("h_n", h_n, stack.h_n, kTolerance<P>);
        expect_close("c_n", c_n, stack.c_n, kTolerance<P>);
        if (!keeps) continue;
        expect_close("gates", gates, stack.gates, kTolerance<P>), expect_close("c", c, stack.c, kTolerance<P>);
        expect_close("between", between, stack.between, kTolerance<P>);
    }
}

// Gradients of a stack's outputs, and what the reference makes of them.
struct StackGradients {
    Numbers dout, dh_n, dc_n, dgates, dc;  // given
    Numbers dx, dh0, dc0;
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
            dh0.insert(dh0.end(), of_track.h0.begin(), of_track.h0.end());
            dc0.insert(dc0.end(), of_track.c0.begin(), of_track.c0.end());
        }
    }

private:
    // The gradient of a layer's output, of which what the one above read was made with noise.
    Numbers dropped(const Stack& stack, Size layer) const {
        Numbers found = dx;
        for (std::size_t i = 0; i < found.size(); ++i) {
            found[i] = stack.tracks[0].rounded(found[i] * stack.noise[static_cast<std::size_t>(layer) * found.size() + i]);
        }
        return found;
    }

    void run(const Stack& stack, std::size_t k, Size D, const Numbers& of_layer) {
        const Track& track = stack.tracks[k];
        const Size rows = track.T * track.N, H = track.H, states = track.N * H, mine = static_cast<Size>(k);
        reference::Given given{reference::zeros(rows * H), reference::slice(dgates, mine * rows * 4 * H, rows * 4 * H),
                               reference::slice(dc, mine * rows * H, rows * H), reference::slice(dh_n, mine * states, states), reference::slice(dc_n, mine * states, states)};
        for (Size row = 0; row < rows; ++row) {
            std::copy_n(of_layer.begin() + (row * D + mine % D) * H, H, given.out.begin() + row * H);
        }
        weights[k] = reference::backward(track, reference::forward(track), given);
        if (dx.empty()) dx.resize(weights[k].x.size());
        for (std::size_t i = 0; i < dx.size(); ++i) dx[i] = track.rounded(dx[i] + track.rounded(weights[k].x[i]));
    }
};

// What a scan gives of it.
template <class P>
struct LayersGradients {
    using element = typename P::element;
    using real = typename P::real;

    Array<element> dx;
    std::vector<Gradients<P>> weights;
    Array<real> dh0, dc0;

    LayersGradients(const Stack& stack, bool shifted)
        : dx(static_cast<Size>(stack.tracks[0].x.size()), shifted), dh0(static_cast<Size>(stack.h_n.size()), shifted),
          dc0(static_cast<Size>(stack.c_n.size()), shifted) {
        dx.fill(kUntouched), dh0.fill(kUntouched), dc0.fill(kUntouched);
        for (const Track& track : stack.tracks) weights.emplace_back(track, shifted);
    }

    bool operator==(const LayersGradients& other) const {
        return dx == other.dx && dh0 == other.dh0 && dc0 == other.dc0 && weights == other.weights;
    }
};

template <class P>
void check_layers_backward(const Scan<P>& scan, Random& random) {
    using element = typename P::element;
    using real = typename P::real;
    const Shape shape = random_shape(random);
    With with = With::random(random);
    with.edits = false, with.states = true;
    const Size L = 1 + random.below(3), D = 1 + random.below(2);
    const bool noisy = random.coin(), recorded = random.coin();
    const Stack stack = random_stack<P>(random, shape, with, L, D, noisy);
    const StackGradients want(random, stack, D, recorded);
    const Described described("layers backward", stack.tracks[0], with);
    const StackInputs<P> given(stack, with, noisy ? L - 1 : 0);
    const Inputs<P>& in = given.tracks[0];
    const Array<element> between(stack.between, with.shifted), out(stack.out, with.shifted);
    const Array<element> dout(want.dout, with.shifted);
    const Array<real> dgates(want.dgates, with.shifted), dc(want.dc, with.shifted);
    const Array<real> gates(stack.gates, with.shifted), c(stack.c, with.shifted);
    const Array<real> dh_n(want.dh_n, with.shifted), dc_n(want.dc_n, with.shifted);
    const Size shown = recorded ? L * D : 0;
    const auto run = [&](int threads) {
        LayersGradients<P> got(stack, with.shifted);
        std::vector<WeightGradients<P>> asked;
        for (const Gradients<P>& g : got.weights) asked.push_back({g.w_ih.data(), g.w_hh.data(), g.b.data(), nullptr});
        scan.layers_backward({{in.x.data(), given.weights, given.h0.data(), given.c0.data(), in.lengths_or_null(),
                               in.reset_or_null(), given.noises, out.data(), parts(gates, L * D), parts(c, L * D),
                               parts(between, L - 1), nullptr, nullptr, shape.T, shape.N, shape.C, shape.H, shape.H, D,
                               in.x_layout.step, in.x_layout.row, threads},
                              dout.data(), dh_n.data(), dc_n.data(), read_only(parts(dgates, shown)),
                              read_only(parts(dc, shown)), got.dx.data(), asked,
                              got.dh0.data(), got.dc0.data()});
        return got;
    };
    const LayersGradients<P> got = run(1);
    const double tolerance = static_cast<double>(L) * kTolerance<P>;
    expect_close("dx", got.dx, want.dx, tolerance);
    expect_close("dh0", got.dh0, want.dh0, tolerance), expect_close("dc0", got.dc0, want.dc0, tolerance);
    for (std::size_t k = 0; k < got.weights.size(); ++k) {
        expect_close("dW_ih", got.weights[k].w_ih, want.weights[k].w_ih, tolerance);
        expect_close("dW_hh", got.weights[k].w_hh, want.weights[k].w_hh, tolerance);
        expect_close("db", got.weights[k].b, want.weights[k].b, tolerance);
    }
    for (const int threads : {2, 3, 4}) checks::that(run(threads) == got, "threads change the result");
}

// A stack as a stream takes it: packed once, its states changed in place.
template <class P>
struct Stream {
    using element = typename P::element;
    using real = typename P::real;

    const Track& first;
    const Size L;
    Array<unsigned char> w;
    Array<real> bias;
    Array<element> h, next;
    Array<real> c;

    Stream(const Scan<P>& scan, const Stack& stack, const With& with, int threads)
        : first(stack.tracks[0]), L(static_cast<Size>(stack.tracks.size())), w(bytes(scan, stack)),
          bias(L * scan.bias_size(first.H)), h(joined<element>(stack, &Track::h0, with.shifted)),
          next(first.N * first.H, with.shifted), c(joined<real>(stack, &Track::c0, with.shifted)) {
        unsigned char* to = w.data();
        for (Size k = 0; k < L; ++k) {
            const Track& track = stack.tracks[static_cast<std::size_t>(k)];
            const Inputs<P> in(track, with);
            scan.pack_layer(in.weights(), track.C, track.H, threads, to, bias.data() + k * scan.bias_size(track.H));
            to += scan.layer_bytes(track.C, track.H);
        }
    }

    Array<element> run(const Scan<P>& scan, const Array<element>& x, int threads) {
        Array<element> out(first.T * first.N * first.H);
        scan.steps({x.data(), w.data(), bias.data(), h.data(), c.data(), next.data(), out.fill(kUntouched).data(), first.T,
                    first.N, first.C, first.H, L, threads});
        return out;
    }

private:
    static Size bytes(const Scan<P>& scan, const Stack& stack) {
        Size sum = 0;
        for (const Track& track : stack.tracks) sum += scan.layer_bytes(track.C, track.H);
        return sum;
    }
};

template <class P>
void check_steps(const Scan<P>& scan, Random& random) {
    const Shape shape = random_shape(random);
    With with = With::random(random);
    with.edits = with.lengths = with.reset = false;
    with.layout = 0;
    const Stack stack = random_stack<P>(random, shape, with, 1 + random.below(3), 1, false);
    const Described described("steps", stack.tracks[0], with);
    const Inputs<P> in(stack.tracks[0], with);
    for (const int threads : {1, 2, 3}) {
        Stream<P> stream(scan, stack, with, threads);
        expect_close("out", stream.run(scan, in.x, threads), stack.out, kTolerance<P>);
        expect_close("h", stream.h, stack.h_n, kTolerance<P>), expect_close("c", stream.c, stack.c_n, kTolerance<P>);
    }
}

template <class P>
void check_stacks(const Scan<P>& scan) {
    constexpr int kProblems = 20;
    Random random(6);
    for (int k = 0; k < kProblems; ++k) {
        check_layers(scan, random), check_layers_backward(scan, random), check_steps(scan, random);
    }
}

}  // namespace hiddenstate::test
