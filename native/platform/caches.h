// The sizes of this CPU's caches.
#pragma once

#include <cstdint>

namespace hiddenstate {

// The size in bytes of one core's second-level cache, or of its share if several cores have one cache. If the system does not report it, a
// small size is assumed.
std::int64_t bytes_of_own_cache();

}  // namespace hiddenstate
