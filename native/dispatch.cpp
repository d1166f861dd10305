// Which of the compiled scans this CPU runs.
#include <algorithm>
#include <string>
#include <vector>

#include "cpu.h"
#include "scan.h"

namespace hiddenstate {

extern const Scan scan_generic;
#ifdef HIDDENSTATE_WITH_X86
extern const Scan scan_avx2;
extern const Scan scan_avx512;
#endif

const std::vector<const Scan*>& scans() {
    static const std::vector<const Scan*> found = [] {
        std::vector<const Scan*> usable{&scan_generic};
        const std::vector<std::string> features = cpu_features();
        const auto has = [&features](const char* name) {
            return std::find(features.begin(), features.end(), name) != features.end();
        };
        (void)has;
#ifdef HIDDENSTATE_WITH_X86
        if (has("avx2") && has("fma")) usable.push_back(&scan_avx2);
        if (has("fma") && has("avx512f") && has("avx512dq") && has("avx512bw") && has("avx512vl")) {
            usable.push_back(&scan_avx512);
        }
#endif
        return usable;
    }();
    return found;
}

}  // namespace hiddenstate
