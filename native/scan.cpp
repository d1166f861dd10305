// The scan; compiled once for each instruction set, with HIDDENSTATE_ISA (a name) and HIDDENSTATE_LANES set.
#include "scan.h"

#include <algorithm>
#include <exception>
#include <vector>

#include "vec.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#define HIDDENSTATE_JOIN_(a, b) a##b
#define HIDDENSTATE_JOIN(a, b) HIDDENSTATE_JOIN_(a, b)
#define HIDDENSTATE_TEXT_(a) #a
#define HIDDENSTATE_TEXT(a) HIDDENSTATE_TEXT_(a)

namespace hiddenstate {
namespace {

constexpr int kGates = 4;
constexpr int kTile = kGates * kLanes;  // columns of a packed block: four vectors
// Rows that a tile keeps in registers, four accumulators each: what 16 registers hold beside the operands (32: six).
constexpr int kRows = kLanes >= 16 ? 6 : 3;

std::int64_t blocks(std::int64_t columns, std::int64_t width) { return (columns + width - 1) / width; }

// acc[r] += sum_k a[r][k] * w[k], where w[k] is a row of kTile packed numbers. Each row is summed in the order of k
// however many share the tile, so that results do not depend on how rows are shared out.
template <int R>
inline void tile(const float* const* a, std::int64_t K, const float* w, vf (&acc)[R][kGates]) {
    for (std::int64_t k = 0; k < K; ++k, w += kTile) {
        const vf w0 = load(w), w1 = load(w + kLanes), w2 = load(w + 2 * kLanes), w3 = load(w + 3 * kLanes);
        for (int r = 0; r < R; ++r) {
            const vf x = splat(a[r][k]);
            acc[r][0] += x * w0;
            acc[r][1] += x * w1;
            acc[r][2] += x * w2;
            acc[r][3] += x * w3;
        }
    }
}

// Calls f<R>(first) for tiles that cover `count` rows.
template <class F>
inline void for_tiles(std::int64_t count, const F& f) {
    std::int64_t first = 0;
    for (; first + kRows <= count; first += kRows) f.template run<kRows>(first);
    for (; first + 2 <= count; first += 2) f.template run<2>(first);
    if (first < count) f.template run<1>(first);
}

// A matrix [4H, K] packed as [H / kLanes][K (k)][gate][kLanes], so that one tile holds all gates of kLanes units; blocks
// stand `stride` numbers apart. That is a transposition: a cache line of each row at a time, so that neither side
// strides through memory.
void pack_gates(const float* w, std::int64_t K, std::int64_t H, float* packed, std::int64_t stride) {
    constexpr std::int64_t kLine = 16;
    for (std::int64_t u = 0; u < H; u += kLanes, packed += stride) {
        std::fill_n(packed, kTile * K, 0.0f);
        for (std::int64_t first = 0; first < K; first += kLine) {
            const std::int64_t last = std::min(first + kLine, K);
            for (std::int64_t g = 0; g < kGates; ++g) {
                for (std::int64_t j = 0; j < kLanes && u + j < H; ++j) {
                    const float* row = w + (g * H + u + j) * K;
                    float* column = packed + g * kLanes + j;
                    for (std::int64_t k = first; k < last; ++k) column[k * kTile] = row[k];
                }
            }
        }
    }
}

void pack_forward(const float* w_hh, std::int64_t H, float* packed) { pack_gates(w_hh, H, H, packed, kTile * H); }

// Packed for the backward scan: [H / kTile][4H (k)][kTile].
void pack_backward(const float* w_hh, std::int64_t H, float* packed) {
    for (std::int64_t u = 0; u < H; u += kTile) {
        const std::int64_t columns = std::min<std::int64_t>(kTile, H - u);
        for (std::int64_t k = 0; k < kGates * H; ++k, packed += kTile) {
            std::copy_n(w_hh + k * H + u, columns, packed);
            std::fill_n(packed + columns, kTile - columns, 0.0f);
        }
    }
}

std::int64_t packed_size(std::int64_t H) {
    return std::max(blocks(H, kLanes) * kTile * H, blocks(H, kTile) * kTile * kGates * H);
}

// Which steps a row has, in which order they are read, and where a border cuts it off from the step read before.
template <class Job>
struct Order {
    const Job& job;

    std::int64_t step(std::int64_t k) const { return job.reverse ? job.T - 1 - k : k; }

    bool live(std::int64_t t, std::int64_t n) const { return !job.lengths || t < job.lengths[n]; }

    // The state that comes into step t is zero.
    bool cut(std::int64_t t, std::int64_t n) const {
        if (!job.reset) return false;
        const std::int64_t border = job.reverse ? t + 1 : t;
        return border < job.T && live(border, n) && job.reset[border * job.N + n];
    }
};

// Runs body(first, last) over rows, shared among threads: rows never meet, so no thread waits for another.
template <class Body>
void share_rows(std::int64_t N, int threads, const Body& body) {
    const int used = static_cast<int>(std::min<std::int64_t>(std::max(threads, 1), N));
#ifdef _OPENMP
    if (used > 1) {
        std::exception_ptr failed;  // an exception (no memory) must not leave the parallel region
#pragma omp parallel num_threads(used)
        {
            const std::int64_t k = omp_get_thread_num(), n = omp_get_num_threads();
            try {
                body(k * N / n, (k + 1) * N / n);
            } catch (...) {
#pragma omp critical
                failed = std::current_exception();
            }
        }
        if (failed) std::rethrow_exception(failed);
        return;
    }
#endif
    (void)used;
    if (N > 0) body(0, N);
}

// ---------------------------------------------------------------------------------------------------------- forward

// The six equations, for one vector of units of one row.
struct Cell {
    vf i, f, g, o, c, h;

    Cell(const vf (&z)[kGates], vf c_before)
        : i(sigmoid(z[0])), f(sigmoid(z[1])), g(tanh(z[2])), o(sigmoid(z[3])), c(f * c_before + i * g), h(o * tanh(c)) {}
};

struct ForwardStep {
    const Forward& job;
    std::int64_t t, u, lanes;        // step; first unit of the block, and how many of its units there are
    const float* w;                  // packed block
    const std::int64_t* rows;        // live rows
    const float* const* h;           // their hidden states of the step before
    float* c;                        // cell states [N, H]

    template <int R>
    void run(std::int64_t first) const {
        const std::int64_t H = job.H;
        vf acc[R][kGates];
        for (int r = 0; r < R; ++r) {
            const float* xg = job.xg + (t * job.N + rows[first + r]) * kGates * H + u;
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(xg + g * H, lanes);
        }
        tile<R>(h + first, H, w, acc);
        for (int r = 0; r < R; ++r) finish(rows[first + r], acc[r]);
    }

    void finish(std::int64_t n, const vf (&z)[kGates]) const {
        const std::int64_t H = job.H, row = t * job.N + n;
        const Cell cell(z, load(c + n * H + u, lanes));
        store(c + n * H + u, cell.c, lanes);
        store(job.out + row * job.out_stride + u, cell.h, lanes);
        if (job.c) store(job.c + row * H + u, cell.c, lanes);
        if (job.keep_gates) {
            float* gates = job.xg + row * kGates * H + u;
            store(gates, cell.i, lanes), store(gates + H, cell.f, lanes);
            store(gates + 2 * H, cell.g, lanes), store(gates + 3 * H, cell.o, lanes);
        }
    }
};

void forward_rows(const Forward& job, std::int64_t first, std::int64_t last) {
    const std::int64_t N = job.N, H = job.H;
    const Order<Forward> order{job};
    const std::vector<float> zeros(static_cast<std::size_t>(H), 0.0f);
    std::vector<const float*> state(static_cast<std::size_t>(last - first));  // each row's latest hidden state
    std::vector<const float*> h(state.size());
    std::vector<std::int64_t> rows(state.size());
    for (std::int64_t n = first; n < last; ++n) state[n - first] = job.h0 + n * H;
    std::copy(job.c0 + first * H, job.c0 + last * H, job.c_n + first * H);
    for (std::int64_t k = 0; k < job.T; ++k) {
        const std::int64_t t = order.step(k);
        std::int64_t count = 0;
        for (std::int64_t n = first; n < last; ++n) {
            if (!order.live(t, n)) {
                std::fill_n(job.out + (t * N + n) * job.out_stride, H, 0.0f);
                continue;
            }
            if (order.cut(t, n)) {
                state[n - first] = zeros.data();
                std::fill_n(job.c_n + n * H, H, 0.0f);
            }
            rows[count] = n;
            h[count++] = state[n - first];
        }
        for (std::int64_t u = 0; u < H; u += kLanes) {
            const ForwardStep step{job,     t,        u, std::min<std::int64_t>(kLanes, H - u), job.w + u * kGates * H,
                                   rows.data(), h.data(), job.c_n};
            for_tiles(count, step);
        }
        for (std::int64_t r = 0; r < count; ++r) state[rows[r] - first] = job.out + (t * N + rows[r]) * job.out_stride;
    }
    for (std::int64_t n = first; n < last; ++n) std::copy_n(state[n - first], H, job.h_n + n * H);
}

void forward(const Forward& job) {
    share_rows(job.N, job.threads, [&job](std::int64_t first, std::int64_t last) { forward_rows(job, first, last); });
}

// --------------------------------------------------------------------------------------------------------- backward

// From the gradients of h (dh) and of c (dc, in and out) to those of the pre-activations, one row of one step.
void gate_gradients(const Backward& job, std::int64_t t, std::int64_t n, const float* c_before, float* dh, float* dc) {
    const std::int64_t H = job.H, row = t * job.N + n;
    const float* dout = job.dout + row * job.dout_stride;
    const float* gates = job.gates + row * kGates * H;
    float* dg = job.dg + row * kGates * H;
    const vf one = splat(1.0f);
    for (std::int64_t u = 0; u < H; u += kLanes) {
        const std::int64_t lanes = std::min<std::int64_t>(kLanes, H - u);
        const vf i = load(gates + u, lanes), f = load(gates + H + u, lanes), g = load(gates + 2 * H + u, lanes),
                 o = load(gates + 3 * H + u, lanes);
        const vf s = tanh(load(job.c + row * H + u, lanes));
        const vf d_h = load(dh + u, lanes) + load(dout + u, lanes);
        vf d_c = load(dc + u, lanes) + d_h * o * (one - s * s);
        if (job.dc) d_c += load(job.dc + row * H + u, lanes);
        const vf before = c_before ? load(c_before + u, lanes) : vf{};
        vf d_i = d_c * g, d_f = d_c * before, d_g = d_c * i, d_o = d_h * s;
        if (job.dgates) {
            const float* more = job.dgates + row * kGates * H + u;
            d_i += load(more, lanes), d_f += load(more + H, lanes);
            d_g += load(more + 2 * H, lanes), d_o += load(more + 3 * H, lanes);
        }
        store(dg + u, d_i * i * (one - i), lanes);
        store(dg + H + u, d_f * f * (one - f), lanes);
        store(dg + 2 * H + u, d_g * (one - g * g), lanes);
        store(dg + 3 * H + u, d_o * o * (one - o), lanes);
        store(dc + u, d_c * f, lanes);
    }
}

// dh of the step before = dg W_hh, for kTile units of the live rows.
struct BackwardStep {
    const Backward& job;
    std::int64_t t, u;
    const float* w;
    const std::int64_t* rows;
    const float* const* dg;

    template <int R>
    void run(std::int64_t first) const {
        vf acc[R][kGates] = {};
        tile<R>(dg + first, kGates * job.H, w, acc);
        for (int r = 0; r < R; ++r) {
            float* dh = job.dh0 + rows[first + r] * job.H + u;
            for (int v = 0; v < kGates; ++v) {
                const std::int64_t left = job.H - u - v * kLanes;
                if (left > 0) store(dh + v * kLanes, acc[r][v], left);
            }
        }
    }
};

void backward_rows(const Backward& job, std::int64_t first, std::int64_t last) {
    const std::int64_t N = job.N, H = job.H;
    const Order<Backward> order{job};
    std::vector<const float*> dg(static_cast<std::size_t>(last - first));
    std::vector<std::int64_t> rows(dg.size());
    // dh0 and dc0 carry the gradients from step to step.
    std::copy(job.dh_n + first * H, job.dh_n + last * H, job.dh0 + first * H);
    std::copy(job.dc_n + first * H, job.dc_n + last * H, job.dc0 + first * H);
    for (std::int64_t k = job.T - 1; k >= 0; --k) {
        const std::int64_t t = order.step(k), before = job.reverse ? t + 1 : t - 1;
        std::int64_t count = 0;
        for (std::int64_t n = first; n < last; ++n) {
            float* row = job.dg + (t * N + n) * kGates * H;
            if (!order.live(t, n)) {
                std::fill_n(row, kGates * H, 0.0f);
                continue;
            }
            const bool enters = before < 0 || before >= job.T || !order.live(before, n);
            const float* c_before = enters ? job.c0 + n * H : job.c + (before * N + n) * H;
            gate_gradients(job, t, n, order.cut(t, n) ? nullptr : c_before, job.dh0 + n * H, job.dc0 + n * H);
            rows[count] = n;
            dg[count++] = row;
        }
        for (std::int64_t u = 0; u < H; u += kTile) {
            for_tiles(count, BackwardStep{job, t, u, job.w + u * kGates * H, rows.data(), dg.data()});
        }
        for (std::int64_t r = 0; r < count; ++r) {
            if (!order.cut(t, rows[r])) continue;
            std::fill_n(job.dh0 + rows[r] * H, H, 0.0f);
            std::fill_n(job.dc0 + rows[r] * H, H, 0.0f);
        }
    }
}

void backward(const Backward& job) {
    share_rows(job.N, job.threads, [&job](std::int64_t first, std::int64_t last) { backward_rows(job, first, last); });
}

// ------------------------------------------------------------------------------------------------------------ steps

std::int64_t layer_size(std::int64_t K, std::int64_t H) { return blocks(H, kLanes) * kTile * (K + H); }

std::int64_t bias_size(std::int64_t H) { return blocks(H, kLanes) * kTile; }

void pack_layer(const float* w_ih, const float* w_hh, const float* b_ih, const float* b_hh, std::int64_t K,
                std::int64_t H, float* packed, float* bias) {
    const std::int64_t stride = kTile * (K + H);
    pack_gates(w_ih, K, H, packed, stride);
    pack_gates(w_hh, H, H, packed + kTile * K, stride);
    std::fill_n(bias, bias_size(H), 0.0f);
    if (!b_ih) return;
    for (std::int64_t g = 0; g < kGates; ++g) {
        for (std::int64_t j = 0; j < H; ++j) {
            bias[j / kLanes * kTile + g * kLanes + j % kLanes] = b_ih[g * H + j] + b_hh[g * H + j];
        }
    }
}

// One vector of units of one layer, for all rows.
struct LayerStep {
    const float* input;  // [N, K]
    const float* h;      // [N, H]
    const float* w;      // packed block
    const float* bias;   // packed block
    float* c;            // [N, H]
    float* next;         // [N, H]
    std::int64_t K, H, u, lanes;

    template <int R>
    void run(std::int64_t first) const {
        const float *below[R], *before[R];
        vf acc[R][kGates];
        for (int r = 0; r < R; ++r) {
            below[r] = input + (first + r) * K;
            before[r] = h + (first + r) * H;
            for (int g = 0; g < kGates; ++g) acc[r][g] = load(bias + g * kLanes);
        }
        tile<R>(below, K, w, acc);
        tile<R>(before, H, w + K * kTile, acc);
        for (int r = 0; r < R; ++r) {
            const std::int64_t at = (first + r) * H + u;
            const Cell cell(acc[r], load(c + at, lanes));
            store(c + at, cell.c, lanes);
            store(next + at, cell.h, lanes);
        }
    }
};

void steps(const Steps& job) {
    const std::int64_t N = job.N, H = job.H;
    for (std::int64_t t = 0; t < job.T; ++t) {
        const float *input = job.x + t * N * job.C, *w = job.w, *bias = job.bias;
        std::int64_t K = job.C;
        for (std::int64_t layer = 0; layer < job.L; ++layer) {
            float *h = job.h + layer * N * H, *c = job.c + layer * N * H;
            for (std::int64_t u = 0; u < H; u += kLanes, w += kTile * (K + H), bias += kTile) {
                const std::int64_t lanes = std::min<std::int64_t>(kLanes, H - u);
                for_tiles(N, LayerStep{input, h, w, bias, c, job.next, K, H, u, lanes});
            }
            std::copy_n(job.next, N * H, h);
            input = h, K = H;
        }
        std::copy_n(input, N * H, job.out + t * N * H);
    }
}

void nonlinearity(char which, const float* in, float* out, std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kLanes) {
        const vf x = load(in + k, n - k);
        store(out + k, which == 't' ? tanh(x) : sigmoid(x), n - k);
    }
}

}  // namespace

extern const Scan HIDDENSTATE_JOIN(scan_, HIDDENSTATE_ISA);
const Scan HIDDENSTATE_JOIN(scan_, HIDDENSTATE_ISA) = {
    HIDDENSTATE_TEXT(HIDDENSTATE_ISA), packed_size, pack_forward, pack_backward, forward, backward,
    layer_size, bias_size, pack_layer, steps, nonlinearity,
};

}  // namespace hiddenstate
