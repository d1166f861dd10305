// The reference that the scans are compared with: the equations of one layer and direction and their derivative, in double, one
// number at a time. It shares no code with the scans except the names of edits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernel/edits.h"
#include "kernel/kinds.h"

namespace reference {

using hiddenstate::Kind;
using hiddenstate::Place;
using Numbers = std::vector<double>;
using Size = std::int64_t;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();  // past a row's end

inline Numbers zeros(Size n) { return Numbers(static_cast<std::size_t>(n)); }
inline Numbers none(Size n) { return Numbers(static_cast<std::size_t>(n), kNone); }
inline double& at(Numbers& v, Size k) { return v[static_cast<std::size_t>(k)]; }
inline double at(const Numbers& v, Size k) { return v[static_cast<std::size_t>(k)]; }
inline Numbers slice(const Numbers& v, Size first, Size n) { return Numbers(v.begin() + first, v.begin() + first + n); }

struct Edit {
    Place place;
    Kind kind;
    std::vector<std::int32_t> steps, rows, units;
    Numbers values;
    Size step_stride, row_stride, unit_stride;

    // The value for a step, row and unit, or null if they are not edited.
    const double* value(Size t, Size n, Size u) const {
        const Size step = which(steps, t), row = which(rows, n), unit = which(units, u);
        if (step < 0 || row < 0 || unit < 0) return nullptr;
        return &values[static_cast<std::size_t>(step * step_stride + row * row_stride + unit * unit_stride)];
    }

    static Size which(const std::vector<std::int32_t>& chosen, Size k) {
        const auto found = std::find(chosen.begin(), chosen.end(), k);
        return found == chosen.end() ? -1 : found - chosen.begin();
    }
};

// The sum of n products.
inline double product(const double* w, const double* a, Size n) {
    double sum = 0;
    for (Size j = 0; j < n; ++j) sum += w[j] * a[j];
    return sum;
}

using Cell = hiddenstate::CellKind;

// One layer and direction over a sequence. Its cell has G gates, records R numbers of a unit, and has M = H cell states or, without
// any, M = 0.
struct Track {
    Cell cell = Cell::lstm;
    Size T = 0, N = 0, C = 0, H = 0;
    bool reverse = false;
    Numbers x;                      // [T, N, C]
    Numbers w_ih, w_hh;             // [GH, C], [GH, H]
    Numbers b_ih, b_hh;             // [GH]
    Numbers h0, c0;                 // [N, H], [N, M]
    std::vector<Size> lengths;      // [N]
    std::vector<std::uint8_t> reset;  // [T, N]
    bool by_step = false;           // whether borders of different steps of a row have different states
    Numbers reset_h, reset_c;       // [N, H] and [N, M], or by_step [T, N, H] and [T, N, M]: what comes into the step behind a border; empty: zeros
    std::vector<Edit> edits;
    double (*multiplied)(const double* w, const double* a, Size n) = product;  // a row of weights times an input or hidden state
    double (*rounded)(double) = [](double v) { return v; };  // the rounding of hidden states and gradients of gates when stored

    const hiddenstate::Cell& facts() const { return hiddenstate::kCells[static_cast<int>(cell)]; }
    Size G() const { return facts().gates; }
    Size R() const { return facts().record; }
    Size M() const { return facts().has_memory ? H : 0; }
    bool apart() const { return R() > G(); }  // whether a gate multiplies the recurrent part of another, which is recorded

    Size length(Size n) const { return lengths[static_cast<std::size_t>(n)]; }

    // The steps of a row in the order in which they are read.
    std::vector<Size> steps(Size n) const {
        std::vector<Size> found;
        for (Size t = 0; t < length(n); ++t) found.push_back(t);
        if (reverse) std::reverse(found.begin(), found.end());
        return found;
    }

    // Whether a border separates a step from the step read before it. A border is before the step that marks it, in time; in
    // reverse, a border before step 0 therefore separates nothing.
    bool cut(Size t, Size n) const {
        const Size right = reverse ? t + 1 : t;
        return right < length(n) && reset[static_cast<std::size_t>(right * N + n)];
    }

    // Which row of reset_h and reset_c has the state of the border that cuts a step off.
    Size border(Size t, Size n) const { return (by_step ? t + reverse : 0) * N + n; }

    double edited(int place, Size t, Size n, Size u, double v) const {
        for (const Edit& edit : edits) {
            const double* value = edit.place == place ? edit.value(t, n, u) : nullptr;
            if (!value) continue;
            v = edit.kind == Kind::set ? *value : edit.kind == Kind::scale ? v * *value : v + *value;
        }
        return v;
    }

    double edited_gradient(int place, Size t, Size n, Size u, double gradient) const {
        for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
            const double* value = edit->place == place ? edit->value(t, n, u) : nullptr;
            if (value) gradient *= edit->kind == Kind::set ? 0 : edit->kind == Kind::scale ? *value : 1;
        }
        return gradient;
    }
};

// The result of a forward scan.
struct Scanned {
    // Zero past a row's end; `raw_gates` is NaN there.
    Numbers out;               // [T, N, H]
    Numbers gates, raw_gates;  // [T, N, RH]: after edits of gates, and before; of a plain RNN both are h before its edits
    Numbers c;                 // [T, N, M]
    Numbers h_n, c_n;          // [N, H], [N, M]
};

inline double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

// The input's part of a pre-activation, and the state's.
inline double of_input(const Track& k, Size gate, Size t, Size n, Size u) {
    const Size row = gate * k.H + u;
    return at(k.b_ih, row) + k.multiplied(k.w_ih.data() + row * k.C, k.x.data() + (t * k.N + n) * k.C, k.C);
}
inline double of_state(const Track& k, Size gate, Size u, const Numbers& h) {
    const Size row = gate * k.H + u;
    return at(k.b_hh, row) + k.multiplied(k.w_hh.data() + row * k.H, h.data(), k.H);
}

// One unit of one row at one step: its edits, and its numbers in the records.
struct Unit {
    const Track& k;
    const Size t, n, u;

    double edited(int place, double v) const { return k.edited(place, t, n, u, v); }
    double edited_gradient(int place, double d) const { return k.edited_gradient(place, t, n, u, d); }
    double input(Size gate) const { return of_input(k, gate, t, n, u); }
    double state(Size gate, const Numbers& h) const { return of_state(k, gate, u, h); }
    Size record(Size which) const { return ((t * k.N + n) * k.R() + which) * k.H + u; }
    Size row() const { return (t * k.N + n) * k.H + u; }

    // Records a number before and after its edits, and returns the latter.
    double recorded(Scanned& s, Size which, int place, double before) const {
        at(s.raw_gates, record(which)) = before;
        return at(s.gates, record(which)) = edited(place, before);
    }
};

// Where h is edited, the last of a cell's places.
inline Place output(Cell cell) {
    switch (cell) {
        case Cell::lstm: return hiddenstate::kH;
        case Cell::gru: return hiddenstate::kGruH;
        case Cell::rnn_tanh: case Cell::rnn_relu: return hiddenstate::kRnnH;
    }
    return 0;
}

// The new h of a unit, before its own edits.
inline double lstm_unit(const Unit& one, const Numbers& before, Numbers& c, Scanned& s) {
    double gate[4];
    for (Size g = 0; g < 4; ++g) {
        const int place = static_cast<int>(g);
        const double z = one.edited(hiddenstate::kIPre + place, one.input(g) + one.state(g, before));
        gate[g] = one.recorded(s, g, hiddenstate::kI + place, g == 2 ? std::tanh(z) : sigmoid(z));
    }
    at(c, one.u) = one.edited(hiddenstate::kC, gate[1] * at(c, one.u) + gate[0] * gate[2]);
    at(s.c, one.row()) = at(c, one.u);
    return gate[3] * std::tanh(at(c, one.u));
}

inline double gru_unit(const Unit& one, const Numbers& before, Scanned& s) {
    using namespace hiddenstate;
    const double r = one.recorded(s, 0, kR, sigmoid(one.edited(kRPre, one.input(0) + one.state(0, before))));
    const double z = one.recorded(s, 1, kZ, sigmoid(one.edited(kZPre, one.input(1) + one.state(1, before))));
    const double n_h = one.recorded(s, 3, kNH, one.state(2, before)), n_rh = one.edited(kNRH, r * n_h);
    const double n = one.recorded(s, 2, kN, std::tanh(one.edited(kNPre, one.input(2) + n_rh)));
    return (1 - z) * n + z * at(before, one.u);
}

inline double rnn_unit(const Unit& one, const Numbers& before, Scanned& s) {
    const double z = one.edited(hiddenstate::kHPre, one.input(0) + one.state(0, before));
    const double h = one.k.cell == Cell::rnn_tanh ? std::tanh(z) : z < 0 ? 0 : z;
    return at(s.raw_gates, one.record(0)) = at(s.gates, one.record(0)) = h;
}

// Runs one step of one row; changes the states h and c in place.
inline void step(const Track& k, Size t, Size n, Numbers& h, Numbers& c, Scanned& s) {
    const Numbers before = h;
    for (Size u = 0; u < k.H; ++u) {
        const Unit one{k, t, n, u};
        double v = 0;
        switch (k.cell) {
            case Cell::lstm: v = lstm_unit(one, before, c, s); break;
            case Cell::gru: v = gru_unit(one, before, s); break;
            case Cell::rnn_tanh: case Cell::rnn_relu: v = rnn_unit(one, before, s); break;
        }
        at(s.out, one.row()) = at(h, u) = k.rounded(one.edited(output(k.cell), v));
    }
}

// The part of reset_h or reset_c, of so many numbers a row, that comes into a step behind a border.
inline Numbers border_state(const Track& k, const Numbers& states, Size width, Size t, Size n) {
    return states.empty() ? zeros(width) : slice(states, k.border(t, n) * width, width);
}

inline Scanned forward(const Track& k) {
    const Size rows = k.T * k.N, H = k.H, M = k.M();
    Scanned s{zeros(rows * H), zeros(rows * k.R() * H), none(rows * k.R() * H), zeros(rows * M), {}, {}};
    for (Size n = 0; n < k.N; ++n) {
        Numbers h = slice(k.h0, n * H, H), c = slice(k.c0, n * M, M);
        for (const Size t : k.steps(n)) {
            if (k.cut(t, n)) h = border_state(k, k.reset_h, H, t, n), c = border_state(k, k.reset_c, M, t, n);
            step(k, t, n, h, c, s);
        }
        s.h_n.insert(s.h_n.end(), h.begin(), h.end()), s.c_n.insert(s.c_n.end(), c.begin(), c.end());
    }
    return s;
}

// The gradients of the results of a scan.
struct Given {
    Numbers out, gates, c;  // as in Scanned
    Numbers h_n, c_n;
};

struct Gradients {
    Numbers x, w_ih, w_hh, b, b_hh, h0, c0, reset_h, reset_c;
};

// The states that come into a step.
struct Before {
    Numbers h, c;
};

// The gradients of the pre-activations' parts of one step and row, [GH]: of W_ih x + b_ih, and of W_hh h + b_hh; and the part of the
// gradient of the h before that does not come through W_hh, [H].
struct Slopes {
    Numbers input, state, direct;
};

// From the gradient of h of a unit; `dc` becomes the gradient of the c before.
inline void lstm_slopes(const Unit& one, const Scanned& s, const Given& given, const Before& before, double d_h, Numbers& dc, Slopes& to) {
    const auto gate = [&](Size g) { return at(s.gates, one.record(g)); };
    const double squashed = std::tanh(at(s.c, one.row()));
    const double d_c = one.edited_gradient(hiddenstate::kC, at(dc, one.u) + at(given.c, one.row()) + d_h * gate(3) * (1 - squashed * squashed));
    const double d_gates[4] = {d_c * gate(2), d_c * at(before.c, one.u), d_c * gate(0), d_h * squashed};
    for (Size g = 0; g < 4; ++g) {
        const double value = at(s.raw_gates, one.record(g)), slope = g == 2 ? 1 - value * value : value * (1 - value);
        const int place = static_cast<int>(g);
        const double d = one.edited_gradient(hiddenstate::kI + place, d_gates[g] + at(given.gates, one.record(g)));
        at(to.input, g * one.k.H + one.u) = one.edited_gradient(hiddenstate::kIPre + place, d * slope);
    }
    at(dc, one.u) = d_c * gate(1);
}

inline void gru_slopes(const Unit& one, const Scanned& s, const Given& given, const Before& before, double d_h, Slopes& to) {
    using namespace hiddenstate;
    const auto after = [&](Size g) { return at(s.gates, one.record(g)); };
    const auto raw = [&](Size g) { return at(s.raw_gates, one.record(g)); };
    const auto seen = [&](Size g) { return at(given.gates, one.record(g)); };
    const double d_n = one.edited_gradient(kN, d_h * (1 - after(1)) + seen(2));
    const double d_z = one.edited_gradient(kZ, d_h * (at(before.h, one.u) - after(2)) + seen(1));
    const double d_n_pre = one.edited_gradient(kNPre, d_n * (1 - raw(2) * raw(2))), d_n_rh = one.edited_gradient(kNRH, d_n_pre);
    const double d_r = one.edited_gradient(kR, d_n_rh * after(3) + seen(0)), d_n_h = one.edited_gradient(kNH, d_n_rh * after(0) + seen(3));
    const double d_pre[3] = {one.edited_gradient(kRPre, d_r * raw(0) * (1 - raw(0))),
                             one.edited_gradient(kZPre, d_z * raw(1) * (1 - raw(1))), d_n_pre};
    for (Size g = 0; g < 3; ++g) {
        at(to.input, g * one.k.H + one.u) = d_pre[g], at(to.state, g * one.k.H + one.u) = g == 2 ? d_n_h : d_pre[g];
    }
    at(to.direct, one.u) = d_h * after(1);
}

inline void rnn_slopes(const Unit& one, const Scanned& s, const Given& given, double d_h, Slopes& to) {
    const double h = at(s.raw_gates, one.record(0)), d = d_h + at(given.gates, one.record(0));
    const double slope = one.k.cell == Cell::rnn_tanh ? 1 - h * h : h > 0;
    at(to.input, one.u) = one.edited_gradient(hiddenstate::kHPre, d * slope);
}

inline Slopes slopes(const Track& k, const Scanned& s, const Given& given, Size t, Size n, const Before& before, const Numbers& dh,
                     Numbers& dc) {
    Slopes to{zeros(k.G() * k.H), zeros(k.G() * k.H), zeros(k.H)};
    for (Size u = 0; u < k.H; ++u) {
        const Unit one{k, t, n, u};
        const double d_h = one.edited_gradient(output(k.cell), at(dh, u) + at(given.out, one.row()));
        switch (k.cell) {
            case Cell::lstm: lstm_slopes(one, s, given, before, d_h, dc, to); break;
            case Cell::gru: gru_slopes(one, s, given, before, d_h, to); break;
            case Cell::rnn_tanh: case Cell::rnn_relu: rnn_slopes(one, s, given, d_h, to); break;
        }
    }
    if (!k.apart()) to.state = to.input;
    for (Numbers* one : {&to.input, &to.state}) {
        for (double& v : *one) v = k.rounded(v);
    }
    return to;
}

// Adds the part of one step to the gradients of input and weights; sets `dh`, the gradient of the hidden state before.
inline void spread(const Track& k, Size t, Size n, const Slopes& dz, const Numbers& h_before, Gradients& to, Numbers& dh) {
    dh = dz.direct;
    const Size input = (t * k.N + n) * k.C;
    for (Size g = 0; g < k.G() * k.H; ++g) {
        at(to.b, g) += at(dz.input, g), at(to.b_hh, g) += at(dz.state, g);
        for (Size j = 0; j < k.C; ++j) {
            at(to.w_ih, g * k.C + j) += at(dz.input, g) * at(k.x, input + j);
            at(to.x, input + j) += at(dz.input, g) * at(k.w_ih, g * k.C + j);
        }
        for (Size j = 0; j < k.H; ++j) {
            at(to.w_hh, g * k.H + j) += at(dz.state, g) * at(h_before, j);
            at(dh, j) += at(dz.state, g) * at(k.w_hh, g * k.H + j);
        }
    }
}

inline Before states_before(const Track& k, const Scanned& s, const std::vector<Size>& steps, std::size_t i, Size n) {
    const Size H = k.H, M = k.M();
    if (k.cut(steps[i], n)) return {border_state(k, k.reset_h, H, steps[i], n), border_state(k, k.reset_c, M, steps[i], n)};
    if (i == 0) return {slice(k.h0, n * H, H), slice(k.c0, n * M, M)};
    const Size from = steps[i - 1] * k.N + n;
    return {slice(s.out, from * H, H), slice(s.c, from * M, M)};
}

inline Gradients backward(const Track& k, const Scanned& s, const Given& given) {
    const Size G = k.G() * k.H, M = k.M();
    Gradients to{zeros(k.T * k.N * k.C), zeros(G * k.C), zeros(G * k.H), zeros(G), zeros(G), {}, {},
                 zeros(static_cast<Size>(k.reset_h.size())), zeros(static_cast<Size>(k.reset_c.size()))};
    for (Size n = 0; n < k.N; ++n) {
        Numbers dh = slice(given.h_n, n * k.H, k.H), dc = slice(given.c_n, n * M, M);
        const std::vector<Size> steps = k.steps(n);
        for (std::size_t i = steps.size(); i-- > 0;) {
            const Before before = states_before(k, s, steps, i, n);
            const Slopes dz = slopes(k, s, given, steps[i], n, before, dh, dc);
            spread(k, steps[i], n, dz, before.h, to, dh);
            if (!k.cut(steps[i], n)) continue;
            const Size row = k.border(steps[i], n);
            for (Size u = 0; u < k.H && !k.reset_h.empty(); ++u) at(to.reset_h, row * k.H + u) += at(dh, u);
            for (Size u = 0; u < M && !k.reset_c.empty(); ++u) at(to.reset_c, row * M + u) += at(dc, u);
            dh = zeros(k.H), dc = zeros(M);
        }
        to.h0.insert(to.h0.end(), dh.begin(), dh.end()), to.c0.insert(to.c0.end(), dc.begin(), dc.end());
    }
    return to;
}

// The function that `backward` differentiates: the sum of all results of a scan, each number times its weight in `given`.
inline double loss(const Track& k, const Given& given) {
    const Scanned s = forward(k);
    double sum = 0;
    const auto add = [&sum](const Numbers& values, const Numbers& weights) {
        for (std::size_t j = 0; j < values.size(); ++j) sum += std::isnan(values[j]) ? 0 : values[j] * weights[j];
    };
    add(s.out, given.out), add(s.gates, given.gates), add(s.c, given.c), add(s.h_n, given.h_n), add(s.c_n, given.c_n);
    return sum;
}

}  // namespace reference
