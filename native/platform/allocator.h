// Memory that is allocated and freed with each call: allocator settings, and cached arrays in large pages.
#pragma once

#include <cstddef>

namespace hiddenstate {

// Makes the allocator keep freed memory for the next call, given the bytes of a call's records. By default, glibc returns large
// blocks to the system when they are freed, and fetching them again page by page takes as long as the scan itself. The limit is only
// raised; one set by environment variables is not changed.
void keep_freed_memory(std::size_t bytes);

// Memory for an array of some MiB, uninitialized and aligned to cache lines: in large pages, and reusing freed arrays if they fit, because
// the system provides memory page by page and clears it. On Linux, up to four arrays, a GiB in total, stay with the process when they are
// freed, but the system may reclaim them when it runs short.
void* take_large(std::size_t bytes);
void give_back_large(void* array, std::size_t bytes);

// Asks for large pages for an array that is so large that the allocator maps it again each time.
void expect_writes(void* array, std::size_t bytes);

}  // namespace hiddenstate
