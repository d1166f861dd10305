// Finds the compiled scans that this CPU runs.
#include <algorithm>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "kernel/scan.h"

namespace hiddenstate {

#define HIDDENSTATE_NAME_(cell, isa, precision) scan_##cell##_##isa##_##precision
#define HIDDENSTATE_NAME(cell, isa, precision) HIDDENSTATE_NAME_(cell, isa, precision)
#define HIDDENSTATE_DECLARE(isa)                                                                          \
    extern const Scan<F32> HIDDENSTATE_NAME(lstm, isa, F32), HIDDENSTATE_NAME(gru, isa, F32);    \
    extern const Scan<F64> HIDDENSTATE_NAME(lstm, isa, F64), HIDDENSTATE_NAME(gru, isa, F64);    \
    extern const Scan<BF16> HIDDENSTATE_NAME(lstm, isa, BF16), HIDDENSTATE_NAME(gru, isa, BF16);

// HIDDENSTATE_BASELINE names the set that every CPU of the architecture has.
HIDDENSTATE_DECLARE(HIDDENSTATE_BASELINE)
#ifdef HIDDENSTATE_WITH_X86
HIDDENSTATE_DECLARE(avx2)
HIDDENSTATE_DECLARE(avx512)
// In float32 and float64 the same as avx512.
extern const Scan<BF16> scan_lstm_avx512_bf16_BF16, scan_gru_avx512_bf16_BF16, scan_lstm_amx_BF16, scan_gru_amx_BF16;
extern const Scan<F32> scan_avx2_int8, scan_avx_vnni_int8, scan_avx512_vnni_int8, scan_amx_int8;
#endif
#ifdef HIDDENSTATE_WITH_DOTPROD
extern const Scan<F32> scan_neon_dotprod_int8;
#endif

namespace {

template <class Precision>
struct Compiled {
    const Scan<Precision>* scan;
    std::vector<std::string> needs;  // of the CPU
};

#ifdef HIDDENSTATE_WITH_X86
const std::vector<std::string> kAvx2{"avx2", "fma"};
const std::vector<std::string> kAvx512{"avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl"};

std::vector<std::string> avx512_and(const std::vector<std::string>& more) {
    std::vector<std::string> needs = kAvx512;
    needs.insert(needs.end(), more.begin(), more.end());
    return needs;
}
#endif

template <class Precision>
std::vector<const Scan<Precision>*> usable(const std::vector<Compiled<Precision>>& compiled) {
    const std::vector<std::string> features = cpu_features();
    std::vector<const Scan<Precision>*> found;
    for (const Compiled<Precision>& one : compiled) {
        const bool runs = std::all_of(one.needs.begin(), one.needs.end(), [&features](const std::string& name) {
            return std::find(features.begin(), features.end(), name) != features.end();
        });
        if (runs) found.push_back(one.scan);
    }
    return found;
}

}  // namespace

// The scans of a kind of cell and a type of numbers that has three of them.
#ifdef HIDDENSTATE_WITH_X86
#define HIDDENSTATE_COMPILED(cell, precision)                                                                        \
    {&HIDDENSTATE_NAME(cell, HIDDENSTATE_BASELINE, precision), {}}, {&scan_##cell##_avx2_##precision, kAvx2},        \
        {&scan_##cell##_avx512_##precision, kAvx512},
#define HIDDENSTATE_COMPILED_BF16(cell)                                                                              \
    HIDDENSTATE_COMPILED(cell, BF16){&scan_##cell##_avx512_bf16_BF16, avx512_and({"avx512_bf16"})},                  \
        {&scan_##cell##_amx_BF16, avx512_and({"avx512_bf16", "amx_tile", "amx_bf16"})},
#else
#define HIDDENSTATE_COMPILED(cell, precision) {&HIDDENSTATE_NAME(cell, HIDDENSTATE_BASELINE, precision), {}},
#define HIDDENSTATE_COMPILED_BF16(cell) HIDDENSTATE_COMPILED(cell, BF16)
#endif

template <>
const std::vector<const Scan<F32>*>& scans<F32>(CellKind kind) {
    static const auto lstm = usable<F32>({HIDDENSTATE_COMPILED(lstm, F32)}), gru = usable<F32>({HIDDENSTATE_COMPILED(gru, F32)});
    return kind == CellKind::lstm ? lstm : gru;
}

template <>
const std::vector<const Scan<F64>*>& scans<F64>(CellKind kind) {
    static const auto lstm = usable<F64>({HIDDENSTATE_COMPILED(lstm, F64)}), gru = usable<F64>({HIDDENSTATE_COMPILED(gru, F64)});
    return kind == CellKind::lstm ? lstm : gru;
}

template <>
const std::vector<const Scan<BF16>*>& scans<BF16>(CellKind kind) {
    static const auto lstm = usable<BF16>({HIDDENSTATE_COMPILED_BF16(lstm)}), gru = usable<BF16>({HIDDENSTATE_COMPILED_BF16(gru)});
    return kind == CellKind::lstm ? lstm : gru;
}

const std::vector<const Scan<F32>*>& scans_int8() {
    static const auto found = usable<F32>({
#ifdef HIDDENSTATE_WITH_X86
        {&scan_avx2_int8, kAvx2},
        {&scan_avx_vnni_int8, {"avx2", "fma", "avx_vnni"}},
        {&scan_avx512_vnni_int8, avx512_and({"avx512_vnni"})},
        {&scan_amx_int8, avx512_and({"avx512vbmi", "avx512_vnni", "amx_tile", "amx_int8"})},
#endif
#ifdef HIDDENSTATE_WITH_DOTPROD
        {&scan_neon_dotprod_int8, {"neon_dotprod"}},
#endif
    });
    return found;
}

}  // namespace hiddenstate
