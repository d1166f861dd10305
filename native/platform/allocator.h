// Memory for what is allocated and freed with each call: settings of the allocator, and arrays in large pages that are kept.
#pragma once

#include <cstddef>

namespace hiddenstate {

// Makes the allocator keep freed memory for the next call, given the bytes of a call's records. By default, glibc returns large
// blocks to the system when they are freed, and fetching them again page by page takes as long as the scan itself. The limit is
// only ever raised; one that is set by environment variables is not changed.
void keep_freed_memory(std::size_t bytes);

// Memory for an array of some MiB, uninitialized and aligned to cache lines: in large pages, and of what was given back before where
// that fits, because the system hands out memory page by page and clears it. On Linux up to four arrays, of a GiB in all,
// stay with the process when they are given back, but the system may take them when it runs short.
void* take_large(std::size_t bytes);
void give_back_large(void* array, std::size_t bytes);

// Asks for large pages for an array that is so large that the allocator maps it anew each time.
void expect_writes(void* array, std::size_t bytes);

}  // namespace hiddenstate
