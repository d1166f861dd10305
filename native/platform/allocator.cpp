#include "platform/allocator.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace hiddenstate {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
[[maybe_unused]] constexpr std::size_t kPage = 2 * kMiB;  // a large page
// The largest block that glibc may take from freed memory; it requests larger ones from the system each time. See M_MMAP_THRESHOLD in
// mallopt(3).
[[maybe_unused]] constexpr std::size_t kLargestBlock = 32 * kMiB;

#if defined(__GLIBC__)
constexpr std::size_t kMost = 1024 * kMiB;  // bytes of freed memory that we ask glibc to keep

bool is_set_from_outside() {
    const char* tunables = std::getenv("GLIBC_TUNABLES");
    const auto tunes = [tunables](const char* name) { return tunables && std::strstr(tunables, name); };
    return std::getenv("MALLOC_TRIM_THRESHOLD_") || std::getenv("MALLOC_MMAP_THRESHOLD_") ||
           tunes("glibc.malloc.trim_threshold") || tunes("glibc.malloc.mmap_threshold");
}
#endif

#if defined(__linux__)
// A block that was freed and is cached. The cache never waits for a lock that another thread holds: in a forked process that thread may not
// exist.
struct Block {
    void* at;
    std::size_t bytes;
};

std::mutex blocks_mutex;
Block blocks_kept[4];
constexpr std::size_t kMostKept = 1024 * kMiB;  // total bytes of the blocks
constexpr int kFree = 8;                        // MADV_FREE, which the headers of old systems lack

std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Takes the smallest cached block with room for `bytes`. Blocks more than twice as large are left, because most of such a block would go
// back to the system.
void* take_kept(std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(blocks_mutex, std::try_to_lock);
    if (!lock) return nullptr;
    Block* best = nullptr;
    for (Block& block : blocks_kept) {
        if (block.bytes >= bytes && block.bytes <= 2 * bytes && (!best || block.bytes < best->bytes)) best = &block;
    }
    if (!best) return nullptr;
    void* at = best->at;
    // The rest of a larger block goes back to the system.
    if (best->bytes > bytes) munmap(static_cast<char*>(at) + bytes, best->bytes - bytes);
    *best = {};
    return at;
}

// Caches a block, replacing the smallest one; returns the block to return to the system.
Block keep(Block block) {
    const std::unique_lock<std::mutex> lock(blocks_mutex, std::try_to_lock);
    if (!lock) return block;
    std::size_t all = block.bytes;
    for (const Block& kept : blocks_kept) all += kept.bytes;
    Block& least = *std::min_element(std::begin(blocks_kept), std::end(blocks_kept),
                                     [](const Block& a, const Block& b) { return a.bytes < b.bytes; });
    if (block.bytes <= least.bytes || all - least.bytes > kMostKept) return block;
    if (madvise(block.at, block.bytes, kFree) != 0) return block;  // the system could not reclaim it when memory runs short
    std::swap(least, block);
    return block;
}
#endif

}  // namespace

#if defined(__linux__)
void* take_large(std::size_t bytes) {
    if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
    bytes = whole_pages(bytes);
    if (void* kept = take_kept(bytes)) return kept;
    // Maps one page more than needed, so that an aligned array fits, and unmaps the rest.
    void* const found = mmap(nullptr, bytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) throw std::bad_alloc();
    char* const first = static_cast<char*>(found);
    const std::size_t before = (kPage - reinterpret_cast<std::uintptr_t>(first) % kPage) % kPage;
    if (before > 0) munmap(first, before);
    munmap(first + before + bytes, kPage - before);
    madvise(first + before, bytes, MADV_HUGEPAGE);  // a hint, so errors are ignored
    return first + before;
}

void give_back_large(void* array, std::size_t bytes) {
    const Block rest = keep({array, whole_pages(bytes)});
    if (rest.at) munmap(rest.at, rest.bytes);
}
#else
void* take_large(std::size_t bytes) { return ::operator new(bytes, std::align_val_t{64}); }
void give_back_large(void* array, std::size_t) { ::operator delete(array, std::align_val_t{64}); }
#endif

void keep_freed_memory(std::size_t bytes) {
#if defined(__GLIBC__)
    static std::mutex mutex;
    static std::size_t threshold = is_set_from_outside() ? kMost : 0;  // kMost: never raised
    // A call and its backward pass free their memory at about the same time: the records, the gradients, and at most as much again.
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
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(array), first = (at + kPage - 1) / kPage * kPage;
    const std::uintptr_t last = (at + bytes) / kPage * kPage;
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);  // a hint, so errors are ignored
#else
    (void)array, (void)bytes;
#endif
}

}  // namespace hiddenstate
