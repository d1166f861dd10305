#include "platform/allocator.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace hiddenstate {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
// The largest block that glibc may take from freed memory; it maps larger ones anew. See mallopt(3), M_MMAP_THRESHOLD.
[[maybe_unused]] constexpr std::size_t kLargestBlock = 32 * kMiB;

#if defined(__GLIBC__)
constexpr std::size_t kMost = 1024 * kMiB;  // of freed memory that we ask glibc to keep

bool is_set_from_outside() {
    const char* tunables = std::getenv("GLIBC_TUNABLES");
    const auto tunes = [tunables](const char* name) { return tunables && std::strstr(tunables, name); };
    return std::getenv("MALLOC_TRIM_THRESHOLD_") || std::getenv("MALLOC_MMAP_THRESHOLD_") ||
           tunes("glibc.malloc.trim_threshold") || tunes("glibc.malloc.mmap_threshold");
}
#endif

}  // namespace

void keep_freed_memory(std::size_t bytes) {
#if defined(__GLIBC__)
    static std::mutex mutex;
    static std::size_t threshold = is_set_from_outside() ? kMost : 0;  // kMost: never changed
    // A call and its gradients free their memory at about the same time: the records, the gradients, and at most as much again.
    const std::size_t needed = std::clamp(2 * std::min(bytes, kMost), 2 * kLargestBlock, kMost);
    const std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    if (!lock || needed <= threshold) return;
    threshold = needed;
    mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargestBlock));
    mallopt(M_TRIM_THRESHOLD, static_cast<int>(threshold));
#else
    (void)bytes;
#endif
}

void expect_writes(void* array, std::size_t bytes) {
#if defined(__linux__)
    if (!array || bytes < kLargestBlock) return;
    constexpr std::uintptr_t kPage = 2 * kMiB;
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(array), first = (at + kPage - 1) / kPage * kPage;
    const std::uintptr_t last = (at + bytes) / kPage * kPage;
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a hint, so errors are ignored
#else
    (void)array, (void)bytes;
#endif
}

}  // namespace hiddenstate
