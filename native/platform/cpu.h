// Finds the instruction sets of this CPU at run time.
#pragma once

#include <string>
#include <vector>

namespace hiddenstate {

// Names of the instruction sets that matter to a vector kernel and that both the CPU and the operating
// system support (a CPU may know AVX while the system does not save its registers), narrowest first.
std::vector<std::string> cpu_features();

}  // namespace hiddenstate
