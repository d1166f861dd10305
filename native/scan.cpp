// The scan for one instruction set and precision; compiled once for each, with HIDDENSTATE_ISA (a name),
// HIDDENSTATE_BYTES (of a vector) and HIDDENSTATE_PRECISION (F32, F64, BF16) set.
#include "scan.h"

#include "backward.h"
#include "forward.h"
#include "steps.h"

#define HIDDENSTATE_JOIN_(a, b, c) a##b##_##c
#define HIDDENSTATE_JOIN(a, b, c) HIDDENSTATE_JOIN_(a, b, c)
#define HIDDENSTATE_TEXT_(a) #a
#define HIDDENSTATE_TEXT(a) HIDDENSTATE_TEXT_(a)

namespace hiddenstate {
namespace {

std::int64_t layer_bytes(std::int64_t C, std::int64_t H) {
    return blocks(H, kLanes) * kTile * (depth(C) + depth(H)) * static_cast<std::int64_t>(sizeof(packed));
}

std::int64_t bias_size(std::int64_t H) { return blocks(H, kLanes) * kTile; }

std::int64_t backward_bytes(std::int64_t H) {
    return blocks(H, kTile) * kTile * depth(kGates * H) * static_cast<std::int64_t>(sizeof(packed));
}

// Runs pack(b) for all blocks, shared among threads.
template <class Pack>
void pack_blocks(std::int64_t count, int threads, const Pack& pack) {
    const int used = static_cast<int>(std::clamp<std::int64_t>(threads, 1, std::max<std::int64_t>(count, 1)));
    run_team(used, false, [&](int k) {
        const Range mine = part(count, k, used);
        for (std::int64_t b = mine.first; b < mine.last; ++b) pack(b);
    });
}

void pack_layer(const element* w_ih, const element* w_hh, const real* b_ih, const real* b_hh, std::int64_t C,
                std::int64_t H, int threads, void* to, real* bias) {
    const std::int64_t size = kTile * (depth(C) + depth(H));
    pack_blocks(blocks(H, kLanes), threads, [&](std::int64_t b) {
        packed* block = static_cast<packed*>(to) + b * size;
        const std::int64_t u = b * kLanes;
        pack_gates(w_ih, C, H, u, block);
        pack_gates(w_hh, H, H, u, block + kTile * depth(C));
        std::fill_n(bias + b * kTile, kTile, real{});
        for (std::int64_t g = 0; b_ih && g < kGates; ++g) {
            for (std::int64_t j = 0; j < kLanes && u + j < H; ++j) {
                bias[b * kTile + g * kLanes + j] = b_ih[g * H + u + j] + b_hh[g * H + u + j];
            }
        }
    });
}

void pack_backward(const element* w_hh, std::int64_t H, int threads, void* to) {
    const std::int64_t size = kTile * depth(kGates * H);
    pack_blocks(blocks(H, kTile), threads, [&](std::int64_t b) {
        pack_columns(w_hh, kGates * H, H, b * kTile, static_cast<packed*>(to) + b * size);
    });
}

void nonlinearity(char which, const real* in, real* out, std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kLanes) {
        const vf x = load(in + k, n - k);
        store(out + k, which == 't' ? tanh(x) : sigmoid(x), n - k);
    }
}

}  // namespace

#define HIDDENSTATE_SCAN HIDDENSTATE_JOIN(scan_, HIDDENSTATE_ISA, HIDDENSTATE_PRECISION)
extern const Scan<HIDDENSTATE_PRECISION> HIDDENSTATE_SCAN;
const Scan<HIDDENSTATE_PRECISION> HIDDENSTATE_SCAN = {
    HIDDENSTATE_TEXT(HIDDENSTATE_ISA), layer_bytes, bias_size, pack_layer, backward_bytes, pack_backward, forward,
    backward, steps, nonlinearity,
};

}  // namespace hiddenstate
