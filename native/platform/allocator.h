// The memory that records and gradients come and go in with each call.
#pragma once

#include <cstddef>

namespace hiddenstate {

// Lets the allocator keep what is freed for the next call, of one that needs so many bytes of records. Until it has seen a
// large block come and go, glibc gives such memory back to the system at every call, and fetching it again page by page takes
// as long as the scan itself. Once more is kept, it stays; what the environment sets is left alone.
void keep_freed_memory(std::size_t bytes);

// Asks for large pages where an array is so large that the allocator fetches it anew each time.
void expect_writes(void* array, std::size_t bytes);

}  // namespace hiddenstate
