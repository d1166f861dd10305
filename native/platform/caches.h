// The sizes of this CPU's caches.
#pragma once

#include <cstdint>

namespace hiddenstate {

// Bytes of the second-level cache that one core has to itself, or its share of one that several cores have. What the system does not
// say is assumed to be small.
std::int64_t bytes_of_own_cache();

}  // namespace hiddenstate
