// Finds the compiled scans that this CPU runs.
#include <algorithm>
#include <string>
#include <vector>

#include "platform/cpu.h"
#include "kernel/scan.h"

namespace hiddenstate {

#define HIDDENSTATE_NAME_(isa, precision) scan_##isa##_##precision
#define HIDDENSTATE_NAME(isa, precision) HIDDENSTATE_NAME_(isa, precision)
#define HIDDENSTATE_DECLARE(isa)                         \
    extern const Scan<F32> HIDDENSTATE_NAME(isa, F32);   \
    extern const Scan<F64> HIDDENSTATE_NAME(isa, F64);   \
    extern const Scan<BF16> HIDDENSTATE_NAME(isa, BF16);

// HIDDENSTATE_BASELINE names the set that every CPU of the architecture has.
HIDDENSTATE_DECLARE(HIDDENSTATE_BASELINE)
#ifdef HIDDENSTATE_WITH_X86
HIDDENSTATE_DECLARE(avx2)
HIDDENSTATE_DECLARE(avx512)
extern const Scan<BF16> scan_avx512_bf16_BF16, scan_amx_BF16;  // in float32 and float64 the same as avx512
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

template <>
const std::vector<const Scan<F32>*>& scans<F32>() {
    static const auto found = usable<F32>({
        {&HIDDENSTATE_NAME(HIDDENSTATE_BASELINE, F32), {}},
#ifdef HIDDENSTATE_WITH_X86
        {&scan_avx2_F32, kAvx2},
        {&scan_avx512_F32, kAvx512},
#endif
    });
    return found;
}

template <>
const std::vector<const Scan<F64>*>& scans<F64>() {
    static const auto found = usable<F64>({
        {&HIDDENSTATE_NAME(HIDDENSTATE_BASELINE, F64), {}},
#ifdef HIDDENSTATE_WITH_X86
        {&scan_avx2_F64, kAvx2},
        {&scan_avx512_F64, kAvx512},
#endif
    });
    return found;
}

template <>
const std::vector<const Scan<BF16>*>& scans<BF16>() {
    static const auto found = usable<BF16>({
        {&HIDDENSTATE_NAME(HIDDENSTATE_BASELINE, BF16), {}},
#ifdef HIDDENSTATE_WITH_X86
        {&scan_avx2_BF16, kAvx2},
        {&scan_avx512_BF16, kAvx512},
        {&scan_avx512_bf16_BF16, avx512_and({"avx512_bf16"})},
        {&scan_amx_BF16, avx512_and({"avx512_bf16", "amx_tile", "amx_bf16"})},
#endif
    });
    return found;
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
