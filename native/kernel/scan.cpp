// The scan for one instruction set, precision and kind of cell. Compiled once for each combination, with HIDDENSTATE_ISA (a name),
// HIDDENSTATE_BYTES (the size of a vector), HIDDENSTATE_PRECISION (F32, F64, BF16) and HIDDENSTATE_CELL (lstm, say) set.
#include "kernel/scan.h"

#include "kernel/pack.h"
#ifdef HIDDENSTATE_INFERENCE
#include "kernel/stack.h"
#else
#include "kernel/cell_gradients.h"
#include "kernel/cell_step.h"
#include "kernel/stack_backward.h"
#endif

#define HIDDENSTATE_JOIN_(a, b, c) scan_##a##_##b##_##c
#define HIDDENSTATE_JOIN(a, b, c) HIDDENSTATE_JOIN_(a, b, c)

namespace hiddenstate {
namespace {

#ifdef HIDDENSTATE_INFERENCE
// The runtimes without torch omit the code for training and single cells.
constexpr bool kConverts = false;
constexpr std::nullptr_t backward{}, cell_step{}, cell_gradients{}, nonlinearity{}, widen{}, narrow{};
#else
void nonlinearity(char which, const real* in, real* out, std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kLanes) {
        const vf x = load(in + k, n - k);
        store(out + k, which == 't' ? tanh(x) : sigmoid(x), n - k);
    }
}

using half = std::conditional_t<std::is_same_v<element, bfloat16>, bfloat16, float16>;
constexpr bool kConverts = sizeof(real) == 4;

void widen(const void* from, real* to, std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kLanes) store(to + k, load(static_cast<const half*>(from) + k, n - k), n - k);
}

void narrow(const real* from, void* to, std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kLanes) store(static_cast<half*>(to) + k, load(from + k, n - k), n - k);
}
#endif

}  // namespace

// Defines a scan for each nonlinearity of the kind of cell. They share all functions.
#define HIDDENSTATE_SCAN(cell) HIDDENSTATE_JOIN(cell, HIDDENSTATE_ISA, HIDDENSTATE_PRECISION)
#define HIDDENSTATE_DEFINE(cell, relu)                                                                                \
    extern const Scan<HIDDENSTATE_PRECISION> HIDDENSTATE_SCAN(cell);                                                  \
    const Scan<HIDDENSTATE_PRECISION> HIDDENSTATE_SCAN(cell) = {                                                      \
        HIDDENSTATE_TEXT(cell), kGates, kRecord, kMemory, kRecurrent > 0, relu, HIDDENSTATE_TEXT(HIDDENSTATE_ISA),    \
        packed_bytes, bias_size, pack_for_steps, plan, forward, backward, cell_step, kSlopes, cell_gradients, \
        nonlinearity, kConverts ? widen : nullptr, kConverts ? narrow : nullptr,                                      \
    };
HIDDENSTATE_NONLINEARITIES(HIDDENSTATE_DEFINE)

}  // namespace hiddenstate
