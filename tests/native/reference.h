// The reference that the scans are compared with: the equations of one layer and direction and their derivative, in double, one
// number at a time. It shares no code with the scans except the names of edits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernel/edits.h"

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

// One layer and direction over a sequence.
struct Track {
    Size T = 0, N = 0, C = 0, H = 0;
    bool reverse = false;
    Numbers x;                      // [T, N, C]
    Numbers w_ih, w_hh;             // [4H, C], [4H, H]
    Numbers b_ih, b_hh;             // [4H]
    Numbers h0, c0;                 // [N, H]
    std::vector<Size> lengths;      // [N]
    std::vector<std::uint8_t> reset;  // [T, N]
    bool by_step = false;           // whether borders of different steps of a row have different states
    Numbers reset_h, reset_c;       // [N, H], or by_step [T, N, H]: what comes into the step behind a border; empty: zeros
    std::vector<Edit> edits;
    double (*multiplied)(const double* w, const double* a, Size n) = product;  // a row of weights times an input or hidden state
    double (*rounded)(double) = [](double v) { return v; };  // the rounding of hidden states and gradients of gates when stored

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

    // Where in reset_h the state of the border lies that cuts a step off.
    Size border(Size t, Size n) const { return ((by_step ? t + reverse : 0) * N + n) * H; }

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
    Numbers gates, raw_gates;  // [T, N, 4H]: after edits of gates, and before
    Numbers c;                 // [T, N, H]
    Numbers h_n, c_n;          // [N, H]
};

inline double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }

inline double pre_activation(const Track& k, Size gate, Size t, Size n, Size u, const Numbers& h) {
    const Size row = gate * k.H + u;
    double z = at(k.b_ih, row) + at(k.b_hh, row);
    z += k.multiplied(k.w_ih.data() + row * k.C, k.x.data() + (t * k.N + n) * k.C, k.C);
    z += k.multiplied(k.w_hh.data() + row * k.H, h.data(), k.H);
    return k.edited(hiddenstate::kIPre + static_cast<int>(gate), t, n, u, z);
}

// Runs one step of one row; changes the states h and c in place.
inline void step(const Track& k, Size t, Size n, Numbers& h, Numbers& c, Scanned& s) {
    const Numbers before = h;
    const Size row = t * k.N + n;
    for (Size u = 0; u < k.H; ++u) {
        double gate[4];
        for (Size g = 0; g < 4; ++g) {
            const double z = pre_activation(k, g, t, n, u, before), value = g == 2 ? std::tanh(z) : sigmoid(z);
            at(s.raw_gates, (row * 4 + g) * k.H + u) = value;
            gate[g] = k.edited(hiddenstate::kI + static_cast<int>(g), t, n, u, value);
            at(s.gates, (row * 4 + g) * k.H + u) = gate[g];
        }
        at(c, u) = k.edited(hiddenstate::kC, t, n, u, gate[1] * at(c, u) + gate[0] * gate[2]);
        at(h, u) = k.rounded(k.edited(hiddenstate::kH, t, n, u, gate[3] * std::tanh(at(c, u))));
        at(s.c, row * k.H + u) = at(c, u), at(s.out, row * k.H + u) = at(h, u);
    }
}

// The part of reset_h or reset_c that comes into a step behind a border.
inline Numbers border_state(const Track& k, const Numbers& states, Size t, Size n) {
    return states.empty() ? zeros(k.H) : slice(states, k.border(t, n), k.H);
}

inline Scanned forward(const Track& k) {
    const Size rows = k.T * k.N;
    Scanned s{zeros(rows * k.H), zeros(rows * 4 * k.H), none(rows * 4 * k.H), zeros(rows * k.H), {}, {}};
    for (Size n = 0; n < k.N; ++n) {
        Numbers h = slice(k.h0, n * k.H, k.H), c = slice(k.c0, n * k.H, k.H);
        for (const Size t : k.steps(n)) {
            if (k.cut(t, n)) h = border_state(k, k.reset_h, t, n), c = border_state(k, k.reset_c, t, n);
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
    Numbers x, w_ih, w_hh, b, h0, c0, reset_h, reset_c;
};

// The states that come into a step.
struct Before {
    Numbers h, c;
};

// Computes the gradients of the pre-activations, [4H], from those of h and c. `dc` becomes the gradient of the c before.
inline Numbers gate_gradients(const Track& k, const Scanned& s, const Given& given, Size t, Size n, const Before& before,
                              const Numbers& dh, Numbers& dc) {
    Numbers dz = zeros(4 * k.H);
    const Size row = t * k.N + n;
    for (Size u = 0; u < k.H; ++u) {
        const auto gate = [&](Size g) { return at(s.gates, (row * 4 + g) * k.H + u); };
        const double squashed = std::tanh(at(s.c, row * k.H + u));
        const double d_h = k.edited_gradient(hiddenstate::kH, t, n, u, at(dh, u) + at(given.out, row * k.H + u));
        const double d_c = k.edited_gradient(
            hiddenstate::kC, t, n, u,
            at(dc, u) + at(given.c, row * k.H + u) + d_h * gate(3) * (1 - squashed * squashed));
        const double d_gates[4] = {d_c * gate(2), d_c * at(before.c, u), d_c * gate(0), d_h * squashed};
        for (Size g = 0; g < 4; ++g) {
            const Size j = (row * 4 + g) * k.H + u;
            const double value = at(s.raw_gates, j), slope = g == 2 ? 1 - value * value : value * (1 - value);
            const int place = static_cast<int>(g);
            const double d = k.edited_gradient(hiddenstate::kI + place, t, n, u, d_gates[g] + at(given.gates, j));
            at(dz, g * k.H + u) = k.rounded(k.edited_gradient(hiddenstate::kIPre + place, t, n, u, d * slope));
        }
        at(dc, u) = d_c * gate(1);
    }
    return dz;
}

// Adds the part of one step to the gradients of input and weights; sets `dh`, the gradient of the hidden state before.
inline void spread(const Track& k, Size t, Size n, const Numbers& dz, const Numbers& h_before, Gradients& to, Numbers& dh) {
    std::fill(dh.begin(), dh.end(), 0);
    const Size input = (t * k.N + n) * k.C;
    for (Size g = 0; g < 4 * k.H; ++g) {
        at(to.b, g) += at(dz, g);
        for (Size j = 0; j < k.C; ++j) {
            at(to.w_ih, g * k.C + j) += at(dz, g) * at(k.x, input + j);
            at(to.x, input + j) += at(dz, g) * at(k.w_ih, g * k.C + j);
        }
        for (Size j = 0; j < k.H; ++j) {
            at(to.w_hh, g * k.H + j) += at(dz, g) * at(h_before, j);
            at(dh, j) += at(dz, g) * at(k.w_hh, g * k.H + j);
        }
    }
}

inline Before states_before(const Track& k, const Scanned& s, const std::vector<Size>& steps, std::size_t i, Size n) {
    if (k.cut(steps[i], n)) return {border_state(k, k.reset_h, steps[i], n), border_state(k, k.reset_c, steps[i], n)};
    if (i == 0) return {slice(k.h0, n * k.H, k.H), slice(k.c0, n * k.H, k.H)};
    const Size from = (steps[i - 1] * k.N + n) * k.H;
    return {slice(s.out, from, k.H), slice(s.c, from, k.H)};
}

inline Gradients backward(const Track& k, const Scanned& s, const Given& given) {
    Gradients to{zeros(k.T * k.N * k.C), zeros(4 * k.H * k.C), zeros(4 * k.H * k.H), zeros(4 * k.H), {}, {},
                 zeros(static_cast<Size>(k.reset_h.size())), zeros(static_cast<Size>(k.reset_c.size()))};
    for (Size n = 0; n < k.N; ++n) {
        Numbers dh = slice(given.h_n, n * k.H, k.H), dc = slice(given.c_n, n * k.H, k.H);
        const std::vector<Size> steps = k.steps(n);
        for (std::size_t i = steps.size(); i-- > 0;) {
            const Before before = states_before(k, s, steps, i, n);
            const Numbers dz = gate_gradients(k, s, given, steps[i], n, before, dh, dc);
            spread(k, steps[i], n, dz, before.h, to, dh);
            if (!k.cut(steps[i], n)) continue;
            for (Size u = 0; u < k.H && !k.reset_h.empty(); ++u) {
                at(to.reset_h, k.border(steps[i], n) + u) += at(dh, u), at(to.reset_c, k.border(steps[i], n) + u) += at(dc, u);
            }
            dh = dc = zeros(k.H);
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
