// Checks the memory that large arrays take from what others gave back.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "threads/parallel.h"

namespace hiddenstate::test {

// Arrays of these sizes live at the same time; each keeps what was written to it, at every page.
inline void check_large_arrays(const std::vector<std::int64_t>& mebibytes, std::int32_t seed) {
    constexpr std::int64_t kPage = 1024;  // numbers
    std::vector<std::unique_ptr<Buffer<std::int32_t>>> arrays;
    for (const std::int64_t size : mebibytes) {
        const std::int64_t count = (size << 18) + 5;
        arrays.push_back(std::make_unique<Buffer<std::int32_t>>(count));
        std::int32_t* at = arrays.back()->data();
        checks::that(reinterpret_cast<std::uintptr_t>(at) % 64 == 0, "arrays begin at cache lines");
        const auto mark = static_cast<std::int32_t>(arrays.size()) + seed;
        for (std::int64_t k = 0; k < count; k += kPage) at[k] = mark;
        at[count - 1] = mark;
    }
    for (std::size_t a = 0; a < arrays.size(); ++a) {
        const std::int64_t count = (mebibytes[a] << 18) + 5;
        const std::int32_t *at = arrays[a]->data(), mark = static_cast<std::int32_t>(a) + 1 + seed;
        bool same = at[count - 1] == mark;
        for (std::int64_t k = 0; k < count; k += kPage) same = same && at[k] == mark;
        checks::that(same, "no two arrays share memory");
    }
}

inline void check_allocator() {
    checks::context = "large arrays";
    for (std::int32_t turn = 0; turn < 3; ++turn) {
        check_large_arrays({20, 16, 33, 1}, turn);        // then some of the blocks that are kept are a little too large
        check_large_arrays({17, 18, 30, 24, 40}, turn);   // and some too small
        check_large_arrays({15, 16, 17, 16, 17, 16, 0}, turn);  // more than are kept
    }
    std::vector<std::thread> threads;
    for (int k = 0; k < 3; ++k) threads.emplace_back([k] { for (int i = 0; i < 4; ++i) check_large_arrays({16, 20}, 100 * k + i); });
    for (std::thread& thread : threads) thread.join();
}

}  // namespace hiddenstate::test
