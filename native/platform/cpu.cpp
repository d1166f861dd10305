#include "platform/cpu.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#define HIDDENSTATE_X86 1
#endif

namespace hiddenstate {

#if defined(HIDDENSTATE_X86)
namespace {

struct Registers {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
    Registers r;
    // If the CPU does not have the leaf, the registers stay zero, which means "not supported".
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

// The register sets that the operating system saves on a context switch (XCR0).
std::uint64_t saved_state() {
    std::uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
}

bool bit(std::uint64_t word, int n) { return (word >> n) & 1; }

// Whether this process may use the tile registers. Linux requires a process to request them before their first use.
bool may_use_tiles() {
#if defined(__linux__)
    constexpr long kAsk = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, of arch_prctl(2)
    return syscall(SYS_arch_prctl, kAsk, kTileData) == 0;
#else
    return false;
#endif
}

}  // namespace

std::vector<std::string> cpu_features() {
    const Registers base = cpuid(1, 0), extended = cpuid(7, 0), more = cpuid(7, 1);
    const bool os_saves = bit(base.ecx, 27);  // OSXSAVE: whether xgetbv may be executed
    const std::uint64_t saved = os_saves ? saved_state() : 0;
    const bool ymm = (saved & 0x06) == 0x06;  // XMM and YMM
    const bool zmm = (saved & 0xe6) == 0xe6;  // and opmask, ZMM0-15 upper halves, ZMM16-31

    std::vector<std::string> found;
    const auto add = [&found](bool present, const char* name) {
        if (present) found.emplace_back(name);
    };
    add(bit(base.edx, 26), "sse2");
    add(bit(base.ecx, 19), "sse4.1");
    add(ymm && bit(base.ecx, 28), "avx");
    add(ymm && bit(base.ecx, 12), "fma");
    add(ymm && bit(base.ecx, 29), "f16c");
    add(ymm && bit(extended.ebx, 5), "avx2");
    add(ymm && bit(more.eax, 4), "avx_vnni");
    add(zmm && bit(extended.ebx, 16), "avx512f");
    add(zmm && bit(extended.ebx, 17), "avx512dq");
    add(zmm && bit(extended.ebx, 30), "avx512bw");
    add(zmm && bit(extended.ebx, 31), "avx512vl");
    add(zmm && bit(extended.ecx, 1), "avx512vbmi");
    add(zmm && bit(extended.ecx, 11), "avx512_vnni");
    add(zmm && bit(more.eax, 5), "avx512_bf16");
    const bool tiles = zmm && (saved & 0x60000) == 0x60000 && bit(extended.edx, 24) && may_use_tiles();
    add(tiles, "amx_tile");
    add(tiles && bit(extended.edx, 22), "amx_bf16");
    add(tiles && bit(extended.edx, 25), "amx_int8");
    return found;
}
#elif defined(__aarch64__)
std::vector<std::string> cpu_features() {
    std::vector<std::string> found{"neon"};  // part of the base architecture
#if defined(__linux__)
    constexpr unsigned long kDotProducts = 1 << 20;  // HWCAP_ASIMDDP
    if (getauxval(AT_HWCAP) & kDotProducts) found.emplace_back("neon_dotprod");
#endif
    return found;
}
#else
std::vector<std::string> cpu_features() { return {}; }
#endif

}  // namespace hiddenstate
