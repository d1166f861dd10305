// Finds the instruction sets of this CPU at run time.
#pragma once

#include <string>
#include <vector>

namespace hiddenstate {

// Names of the instruction sets, narrowest first, that matter to a vector kernel and that both the CPU and the operating system support. (A
// CPU may have AVX while the system does not save its registers.)
std::vector<std::string> cpu_features();

}  // namespace hiddenstate
