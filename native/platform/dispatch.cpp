// Finds the compiled scans that this CPU can run.
#include <algorithm>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "kernel/scan.h"

namespace hiddenstate {

#define HIDDENSTATE_NAME_(cell, isa, precision) scan_##cell##_##isa##_##precision
#define HIDDENSTATE_NAME(cell, isa, precision) HIDDENSTATE_NAME_(cell, isa, precision)
#define HIDDENSTATE_DECLARE(isa, precision) \
    extern const Scan<precision> HIDDENSTATE_NAME(lstm, isa, precision), HIDDENSTATE_NAME(gru, isa, precision);
#define HIDDENSTATE_DECLARE_RNN(isa, precision) \
    extern const Scan<precision> HIDDENSTATE_NAME(rnn_tanh, isa, precision), HIDDENSTATE_NAME(rnn_relu, isa, precision);
#define HIDDENSTATE_DECLARE_ALL(declare, isa) declare(isa, F32) declare(isa, F64) declare(isa, BF16)

// HIDDENSTATE_BASELINE names the instruction set that every CPU of the architecture has.
HIDDENSTATE_DECLARE_ALL(HIDDENSTATE_DECLARE, HIDDENSTATE_BASELINE)
HIDDENSTATE_DECLARE_ALL(HIDDENSTATE_DECLARE_RNN, HIDDENSTATE_BASELINE)
#ifdef HIDDENSTATE_WITH_X86
HIDDENSTATE_DECLARE_ALL(HIDDENSTATE_DECLARE, avx2)
HIDDENSTATE_DECLARE_ALL(HIDDENSTATE_DECLARE_RNN, avx2)
HIDDENSTATE_DECLARE_ALL(HIDDENSTATE_DECLARE, avx512)
HIDDENSTATE_DECLARE_RNN(avx512, F32)
// For float32 and float64, this would be the same as avx512.
HIDDENSTATE_DECLARE(avx512_bf16, BF16)
HIDDENSTATE_DECLARE_RNN(avx512_bf16, BF16)
HIDDENSTATE_DECLARE(amx, BF16)
#define HIDDENSTATE_DECLARE_INT8(isa) extern const Scan<F32> scan_lstm_##isa##_int8, scan_gru_##isa##_int8;
HIDDENSTATE_DECLARE_INT8(avx2)
HIDDENSTATE_DECLARE_INT8(avx_vnni)
HIDDENSTATE_DECLARE_INT8(avx512_vnni)
HIDDENSTATE_DECLARE_INT8(amx)
#endif
#ifdef HIDDENSTATE_WITH_DOTPROD
extern const Scan<F32> scan_lstm_neon_dotprod_int8, scan_gru_neon_dotprod_int8;
#endif

namespace {

template <class Precision>
struct Compiled {
    const Scan<Precision>* scan;
    std::vector<std::string> needs;  // the CPU features that it requires
};

#ifdef HIDDENSTATE_WITH_X86
const std::vector<std::string> kAvx2{"avx2", "fma", "f16c"};
const std::vector<std::string> kAvx512{"avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl"};

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

// The scans of a kind of cell and a number type: first the baseline ones, which all CPUs can run, then the others.
#ifdef HIDDENSTATE_WITH_X86
#define HIDDENSTATE_COMPILED(cell, precision) \
    {&HIDDENSTATE_NAME(cell, HIDDENSTATE_BASELINE, precision), {}}, {&HIDDENSTATE_NAME(cell, avx2, precision), kAvx2},
#define HIDDENSTATE_COMPILED_F32(cell) HIDDENSTATE_COMPILED(cell, F32){&HIDDENSTATE_NAME(cell, avx512, F32), kAvx512},
#define HIDDENSTATE_COMPILED_F64(cell) HIDDENSTATE_COMPILED(cell, F64){&HIDDENSTATE_NAME(cell, avx512, F64), kAvx512},
#define HIDDENSTATE_COMPILED_BF16(cell)                                                                              \
    HIDDENSTATE_COMPILED(cell, BF16){&HIDDENSTATE_NAME(cell, avx512, BF16), kAvx512},                                \
        {&HIDDENSTATE_NAME(cell, avx512_bf16, BF16), avx512_and({"avx512_bf16"})},                                   \
        {&HIDDENSTATE_NAME(cell, amx, BF16), avx512_and({"avx512_bf16", "amx_tile", "amx_bf16"})},
#define HIDDENSTATE_COMPILED_RNN_F32(cell) HIDDENSTATE_COMPILED_F32(cell)
#define HIDDENSTATE_COMPILED_RNN_F64(cell) HIDDENSTATE_COMPILED(cell, F64)
#define HIDDENSTATE_COMPILED_RNN_BF16(cell) \
    HIDDENSTATE_COMPILED(cell, BF16){&HIDDENSTATE_NAME(cell, avx512_bf16, BF16), avx512_and({"avx512_bf16"})},
#else
#define HIDDENSTATE_COMPILED(cell, precision) {&HIDDENSTATE_NAME(cell, HIDDENSTATE_BASELINE, precision), {}},
#define HIDDENSTATE_COMPILED_F32(cell) HIDDENSTATE_COMPILED(cell, F32)
#define HIDDENSTATE_COMPILED_F64(cell) HIDDENSTATE_COMPILED(cell, F64)
#define HIDDENSTATE_COMPILED_BF16(cell) HIDDENSTATE_COMPILED(cell, BF16)
#define HIDDENSTATE_COMPILED_RNN_F32(cell) HIDDENSTATE_COMPILED(cell, F32)
#define HIDDENSTATE_COMPILED_RNN_F64(cell) HIDDENSTATE_COMPILED(cell, F64)
#define HIDDENSTATE_COMPILED_RNN_BF16(cell) HIDDENSTATE_COMPILED(cell, BF16)
#endif

#define HIDDENSTATE_SCANS(precision)                                                                                  \
    template <>                                                                                                       \
    const std::vector<const Scan<precision>*>& scans<precision>(CellKind kind) {                                      \
        static const auto lstm = usable<precision>({HIDDENSTATE_COMPILED_##precision(lstm)});                         \
        static const auto gru = usable<precision>({HIDDENSTATE_COMPILED_##precision(gru)});                           \
        return kind == CellKind::lstm ? lstm : gru;                                                                   \
    }                                                                                                                 \
    template <>                                                                                                       \
    const std::vector<const Scan<precision>*>& rnn_scans<precision>(bool relu) {                                      \
        static const auto of_tanh = usable<precision>({HIDDENSTATE_COMPILED_RNN_##precision(rnn_tanh)});                  \
        static const auto of_relu = usable<precision>({HIDDENSTATE_COMPILED_RNN_##precision(rnn_relu)});                  \
        return relu ? of_relu : of_tanh;                                                                              \
    }

HIDDENSTATE_SCANS(F32)
HIDDENSTATE_SCANS(F64)
HIDDENSTATE_SCANS(BF16)

#if defined(HIDDENSTATE_WITH_X86)
#define HIDDENSTATE_COMPILED_INT8(cell)                                                                              \
    {&HIDDENSTATE_NAME(cell, avx2, int8), kAvx2}, {&HIDDENSTATE_NAME(cell, avx_vnni, int8), {"avx2", "fma", "f16c", "avx_vnni"}}, \
        {&HIDDENSTATE_NAME(cell, avx512_vnni, int8), avx512_and({"avx512_vnni"})},                                   \
        {&HIDDENSTATE_NAME(cell, amx, int8), avx512_and({"avx512vbmi", "avx512_vnni", "amx_tile", "amx_int8"})},
#elif defined(HIDDENSTATE_WITH_DOTPROD)
#define HIDDENSTATE_COMPILED_INT8(cell) {&HIDDENSTATE_NAME(cell, neon_dotprod, int8), {"neon_dotprod"}},
#else
#define HIDDENSTATE_COMPILED_INT8(cell)
#endif

const std::vector<const Scan<F32>*>& scans_int8(CellKind kind) {
    static const auto lstm = usable<F32>({HIDDENSTATE_COMPILED_INT8(lstm)}), gru = usable<F32>({HIDDENSTATE_COMPILED_INT8(gru)});
    return kind == CellKind::lstm ? lstm : gru;
}

}  // namespace hiddenstate
