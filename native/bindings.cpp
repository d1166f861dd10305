// The one file that knows Python: it names the native functions and converts their arguments.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "cpu.h"

namespace nb = nanobind;

NB_MODULE(_native, m) {
    m.doc() = "Native part of hiddenstate.";
    m.attr("__version__") = HIDDENSTATE_VERSION;
    m.def("cpu_features", &hiddenstate::cpu_features,
          "Instruction sets that the CPU and the operating system support, narrowest first.");
}
