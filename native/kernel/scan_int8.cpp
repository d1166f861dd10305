// The scan with int8 weights for one instruction set, forward only. Compiled once for each, with HIDDENSTATE_ISA (a name),
// HIDDENSTATE_BYTES (the size of a vector) and HIDDENSTATE_CELL (lstm, say) set. Callers use it like a float32 scan: inputs, outputs,
// states and records are float32.
#define HIDDENSTATE_PRECISION F32
#define HIDDENSTATE_INT8

#include "kernel/pack.h"
#include "kernel/scan.h"
#include "kernel/stack.h"

#define HIDDENSTATE_JOIN_(a, b) scan_##a##_##b##_int8
#define HIDDENSTATE_JOIN(a, b) HIDDENSTATE_JOIN_(a, b)

namespace hiddenstate {

#define HIDDENSTATE_SCAN HIDDENSTATE_JOIN(HIDDENSTATE_CELL, HIDDENSTATE_ISA)
extern const Scan<F32> HIDDENSTATE_SCAN;
const Scan<F32> HIDDENSTATE_SCAN = {
    HIDDENSTATE_TEXT(HIDDENSTATE_CELL), kGates, kRecord, kMemory, kRecurrent > 0, false, HIDDENSTATE_TEXT(HIDDENSTATE_ISA), packed_bytes,
    bias_size, pack_for_steps, plan, forward, nullptr, nullptr, kSlopes, nullptr, nullptr, nullptr, nullptr,
};

}  // namespace hiddenstate
