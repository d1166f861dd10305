// Memory that is allocated and freed by each call: allocator settings, and cached arrays in large pages.
#pragma once

#include <cstddef>

namespace hiddenstate {

// Makes the allocator keep freed memory for the next call; `bytes` is the size of a call's records. By default, glibc returns large blocks
// to the system when they are freed, and getting them back page by page takes as long as the scan itself. The limit is only ever raised,
// and a limit set by environment variables is not changed.
void keep_freed_memory(std::size_t bytes);

// Allocates an array of several MiB, uninitialised and aligned to cache lines. It uses large pages and reuses freed arrays if they fit,
// because the system provides memory page by page and clears each page. On Linux, the process keeps up to four freed arrays (1 GiB in
// total), but the system may reclaim them when memory runs short.
void* take_large(std::size_t bytes);
void give_back_large(void* array, std::size_t bytes);

// Requests large pages for an array, if it is so large that the allocator maps it again each time.
void expect_writes(void* array, std::size_t bytes);

}  // namespace hiddenstate
