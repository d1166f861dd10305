// Finds the compiled scans that this CPU can run.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "kernel/scan.h"

namespace hiddenstate {

#define HIDDENSTATE_NAME_(cell, isa, precision) scan_##cell##_##isa##_##precision
#define HIDDENSTATE_NAME(cell, isa, precision) HIDDENSTATE_NAME_(cell, isa, precision)
// HIDDENSTATE_BASELINE names the instruction set that every CPU of the architecture has. Scans of sets that a kind is not compiled for are
// declared, too, and not used.
#define HIDDENSTATE_DECLARE(kind, isa, precision) extern const Scan<precision> HIDDENSTATE_NAME(kind, isa, precision);
#define HIDDENSTATE_DECLARE_ALL(kind, isa) \
    HIDDENSTATE_DECLARE(kind, isa, F32) HIDDENSTATE_DECLARE(kind, isa, F64) HIDDENSTATE_DECLARE(kind, isa, BF16)
#define HIDDENSTATE_DECLARE_INT8(kind, isa) extern const Scan<F32> HIDDENSTATE_NAME(kind, isa, int8);
#if defined(HIDDENSTATE_WITH_X86)  // for float32 and float64, avx512_bf16 would be the same as avx512
#define HIDDENSTATE_DECLARE_KIND(name, kind, ...)                                                                           \
    HIDDENSTATE_DECLARE_ALL(kind, HIDDENSTATE_BASELINE) HIDDENSTATE_DECLARE_ALL(kind, avx2) HIDDENSTATE_DECLARE_ALL(kind, avx512) \
    HIDDENSTATE_DECLARE(kind, avx512_bf16, BF16) HIDDENSTATE_DECLARE(kind, amx, BF16) HIDDENSTATE_DECLARE_INT8(kind, avx2)  \
    HIDDENSTATE_DECLARE_INT8(kind, avx_vnni) HIDDENSTATE_DECLARE_INT8(kind, avx512_vnni) HIDDENSTATE_DECLARE_INT8(kind, amx)
#elif defined(HIDDENSTATE_WITH_DOTPROD)
#define HIDDENSTATE_DECLARE_KIND(name, kind, ...) \
    HIDDENSTATE_DECLARE_ALL(kind, HIDDENSTATE_BASELINE) HIDDENSTATE_DECLARE_INT8(kind, neon_dotprod)
#else
#define HIDDENSTATE_DECLARE_KIND(name, kind, ...) HIDDENSTATE_DECLARE_ALL(kind, HIDDENSTATE_BASELINE)
#endif
HIDDENSTATE_KINDS(HIDDENSTATE_DECLARE_KIND)

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

// The scans of each kind of cell and number type: first the baseline ones, which all CPUs can run, then the others.
#ifdef HIDDENSTATE_WITH_X86
#define HIDDENSTATE_COMPILED(kind, precision) \
    {&HIDDENSTATE_NAME(kind, HIDDENSTATE_BASELINE, precision), {}}, {&HIDDENSTATE_NAME(kind, avx2, precision), kAvx2},
#define HIDDENSTATE_few_F32(kind) HIDDENSTATE_COMPILED(kind, F32){&HIDDENSTATE_NAME(kind, avx512, F32), kAvx512},
#define HIDDENSTATE_few_F64(kind) HIDDENSTATE_COMPILED(kind, F64)
#define HIDDENSTATE_few_BF16(kind) \
    HIDDENSTATE_COMPILED(kind, BF16){&HIDDENSTATE_NAME(kind, avx512_bf16, BF16), avx512_and({"avx512_bf16"})},
#define HIDDENSTATE_every_F32(kind) HIDDENSTATE_few_F32(kind)
#define HIDDENSTATE_every_F64(kind) HIDDENSTATE_COMPILED(kind, F64){&HIDDENSTATE_NAME(kind, avx512, F64), kAvx512},
#define HIDDENSTATE_every_BF16(kind)                                                                                 \
    HIDDENSTATE_COMPILED(kind, BF16){&HIDDENSTATE_NAME(kind, avx512, BF16), kAvx512},                                \
        {&HIDDENSTATE_NAME(kind, avx512_bf16, BF16), avx512_and({"avx512_bf16"})},                                   \
        {&HIDDENSTATE_NAME(kind, amx, BF16), avx512_and({"avx512_bf16", "amx_tile", "amx_bf16"})},
#define HIDDENSTATE_every_int8(kind)                                                                                 \
    {&HIDDENSTATE_NAME(kind, avx2, int8), kAvx2}, {&HIDDENSTATE_NAME(kind, avx_vnni, int8), {"avx2", "fma", "f16c", "avx_vnni"}}, \
        {&HIDDENSTATE_NAME(kind, avx512_vnni, int8), avx512_and({"avx512_vnni"})},                                   \
        {&HIDDENSTATE_NAME(kind, amx, int8), avx512_and({"avx512vbmi", "avx512_vnni", "amx_tile", "amx_int8"})},
#else
#define HIDDENSTATE_COMPILED(kind, precision) {&HIDDENSTATE_NAME(kind, HIDDENSTATE_BASELINE, precision), {}},
#define HIDDENSTATE_few_F32(kind) HIDDENSTATE_COMPILED(kind, F32)
#define HIDDENSTATE_few_F64(kind) HIDDENSTATE_COMPILED(kind, F64)
#define HIDDENSTATE_few_BF16(kind) HIDDENSTATE_COMPILED(kind, BF16)
#define HIDDENSTATE_every_F32(kind) HIDDENSTATE_COMPILED(kind, F32)
#define HIDDENSTATE_every_F64(kind) HIDDENSTATE_COMPILED(kind, F64)
#define HIDDENSTATE_every_BF16(kind) HIDDENSTATE_COMPILED(kind, BF16)
#ifdef HIDDENSTATE_WITH_DOTPROD
#define HIDDENSTATE_every_int8(kind) {&HIDDENSTATE_NAME(kind, neon_dotprod, int8), {"neon_dotprod"}},
#else
#define HIDDENSTATE_every_int8(kind)
#endif
#endif
#define HIDDENSTATE_few_int8(kind)

// Tables with a row for every kind.
template <class Precision>
using Table = const std::vector<const Scan<Precision>*>[std::size(kCells)];
#define HIDDENSTATE_ROW_F32(name, kind, header, sets, ...) usable<F32>({HIDDENSTATE_##sets##_F32(kind)}),
#define HIDDENSTATE_ROW_F64(name, kind, header, sets, ...) usable<F64>({HIDDENSTATE_##sets##_F64(kind)}),
#define HIDDENSTATE_ROW_BF16(name, kind, header, sets, ...) usable<BF16>({HIDDENSTATE_##sets##_BF16(kind)}),
#define HIDDENSTATE_ROW_INT8(name, kind, header, sets, ...) usable<F32>({HIDDENSTATE_##sets##_int8(kind)}),

#define HIDDENSTATE_SCANS(precision)                                                                 \
    template <>                                                                                      \
    const std::vector<const Scan<precision>*>& scans<precision>(CellKind kind) {                     \
        static Table<precision> table = {HIDDENSTATE_KINDS(HIDDENSTATE_ROW_##precision)};            \
        return table[static_cast<int>(kind)];                                                        \
    }

HIDDENSTATE_SCANS(F32)
HIDDENSTATE_SCANS(F64)
HIDDENSTATE_SCANS(BF16)

const std::vector<const Scan<F32>*>& scans_int8(CellKind kind) {
    static Table<F32> table = {HIDDENSTATE_KINDS(HIDDENSTATE_ROW_INT8)};
    return table[static_cast<int>(kind)];
}

}  // namespace hiddenstate
