// A fourth kind of cell from the scans as they are: one header, kernel/coupled.h. It is compared with the LSTM whose
// input gate has the negated weights of the forget gate, which computes the same numbers: sigmoid(-z) = 1 - sigmoid(z).
#define HIDDENSTATE_ISA test
#ifndef HIDDENSTATE_BYTES
#define HIDDENSTATE_BYTES 16
#endif
#define HIDDENSTATE_PRECISION F64
#define HIDDENSTATE_CELL coupled
#include "kernel/scan.cpp"

#include <cmath>
#include <cstdio>
#include <random>

using namespace hiddenstate;
using Numbers = std::vector<double>;
using Size = std::int64_t;

namespace {

constexpr Size T = 7, N = 5, C = 6, H = 19;

Numbers random_numbers(Size n) {
    static std::mt19937 random(0);
    std::normal_distribution<double> normal;
    Numbers found(static_cast<std::size_t>(n));
    for (double& v : found) v = normal(random) / 2;
    return found;
}

// The rows of an LSTM's weights, [4H, width], from those of a coupled one, [3H, width].
Numbers as_lstm(const Numbers& w, Size width) {
    Numbers found(w.begin(), w.begin() + H * width);
    for (double& v : found) v = -v;
    found.insert(found.end(), w.begin(), w.end());
    return found;
}

// The gradients of the coupled weights, from those of the LSTM's.
Numbers as_coupled(const Numbers& d, Size width) {
    Numbers found(d.begin() + H * width, d.end());
    for (Size k = 0; k < H * width; ++k) found[static_cast<std::size_t>(k)] -= d[static_cast<std::size_t>(k)];
    return found;
}

struct Weighed {
    Numbers ih, hh, bias;
};

struct Results {
    Numbers out, h_n, c_n, step_h, step_c, ih, hh, bias, x, h0, c0;
};

Results run(const Scan<F64>& scan, const Weighed& w, const Numbers& x, const Numbers& h0, const Numbers& c0, const Numbers& d_out, int threads) {
    const auto zeros = [](Size n) { return Numbers(static_cast<std::size_t>(n)); };
    const Size rows = scan.gates * H;
    Results to{zeros(T * N * H), zeros(N * H), zeros(N * H), zeros(N * H), zeros(N * H), zeros(rows * C), zeros(rows * H), zeros(rows),
               zeros(T * N * C), zeros(N * H), zeros(N * H)};
    Edits<double> edits(N);
    const double half = 0.5;
    edits.add(kO, Kind::scale, &half, 0, 0, 0, {2, 4}, {1}, {3, 18}), edits.add(kFPre, Kind::add, &half, 0, 0, 0, {3}, {0, 4}, {0, 7});
    const bool edited = scan.gates == 3;  // an edit of f is one of i too: the LSTM's is the negated one
    const double minus = -half;
    if (!edited) edits.add(kIPre, Kind::add, &minus, 0, 0, 0, {3}, {0, 4}, {0, 7});
    Numbers gates = zeros(T * N * scan.record * H), raw = gates, c = zeros(T * N * H);
    Call<F64> call;
    call.x = x.data(), call.T = T, call.N = N, call.C = C, call.H = call.P = H, call.x_step = N * C, call.x_row = C;
    call.layers = {{{w.ih.data(), w.hh.data(), w.bias.data(), nullptr, nullptr}, &edits, gates.data(), raw.data(), c.data()}};
    call.h0 = h0.data(), call.c0 = c0.data(), call.threads = threads;
    call.out = to.out.data(), call.h_n = to.h_n.data(), call.c_n = to.c_n.data();
    scan.forward(call);
    Gradients<F64> gradients;
    gradients.out = d_out.data();
    gradients.layers = {{nullptr, nullptr, to.ih.data(), to.hh.data(), to.bias.data(), nullptr}};
    gradients.x = to.x.data(), gradients.h0 = to.h0.data(), gradients.c0 = to.c0.data();
    scan.backward(call, gradients);
    CellStep<F64> step{};
    step.x = x.data(), step.h = h0.data(), step.c = c0.data(), step.ih = w.ih.data(), step.hh = w.hh.data(), step.b_ih = w.bias.data();
    step.new_h = to.step_h.data(), step.new_c = to.step_c.data(), step.N = N, step.C = C, step.H = H, step.threads = threads;
    scan.cell_step(step);
    return to;
}

int compare(const char* what, const Numbers& found, const Numbers& wanted) {
    double worst = found.size() == wanted.size() ? 0 : INFINITY;
    for (std::size_t k = 0; k < std::min(found.size(), wanted.size()); ++k) worst = std::max(worst, std::abs(found[k] - wanted[k]));
    if (worst <= 1e-12) return 0;
    std::printf("%s differs by %g\n", what, worst);
    return 1;
}

}  // namespace

int main() {
    const Weighed coupled{random_numbers(3 * H * C), random_numbers(3 * H * H), random_numbers(3 * H)};
    const Weighed lstm{as_lstm(coupled.ih, C), as_lstm(coupled.hh, H), as_lstm(coupled.bias, 1)};
    const Numbers x = random_numbers(T * N * C), h0 = random_numbers(N * H), c0 = random_numbers(N * H), d_out = random_numbers(T * N * H);
    int failed = 0;
    for (const int threads : {1, 3}) {
        const Results found = run(scan_coupled_test_F64, coupled, x, h0, c0, d_out, threads);
        const Results wanted = run(*scans<F64>().front(), lstm, x, h0, c0, d_out, threads);
        failed += compare("out", found.out, wanted.out) + compare("h_n", found.h_n, wanted.h_n) + compare("c_n", found.c_n, wanted.c_n) +
                  compare("a step's h", found.step_h, wanted.step_h) + compare("a step's c", found.step_c, wanted.step_c) +
                  compare("dx", found.x, wanted.x) + compare("dh0", found.h0, wanted.h0) + compare("dc0", found.c0, wanted.c0) +
                  compare("dW_ih", found.ih, as_coupled(wanted.ih, C)) + compare("dW_hh", found.hh, as_coupled(wanted.hh, H)) +
                  compare("db", found.bias, as_coupled(wanted.bias, 1));
    }
    std::printf("22 comparisons, %d failed\n", failed);
    return failed != 0;
}
