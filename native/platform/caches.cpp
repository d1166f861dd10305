#include "platform/caches.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace hiddenstate {
namespace {

constexpr std::int64_t kAssumed = 512 << 10;

#if defined(__linux__)
// The number of CPUs in a list such as 0-3,8.
std::int64_t count_of(const std::string& list) {
    std::istringstream parts(list);
    std::int64_t count = 0;
    for (std::string part; std::getline(parts, part, ',');) {
        long first = 0, last = 0;
        char dash = 0;
        std::istringstream range(part);
        if (!(range >> first)) return 0;
        count += range >> dash >> last ? std::max(last - first + 1, 1L) : 1;
    }
    return count;
}

std::string line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// The size that Linux reports for the first CPU's second-level cache, per core. CPUs that share a first-level cache are threads of one
// core.
std::int64_t found() {
    std::int64_t threads = 1, bytes = 0, sharing = 1;
    for (int k = 0; k < 8; ++k) {
        const std::string cache = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(k) + "/";
        const std::string level = line_of(cache + "level"), size = line_of(cache + "size");
        if (level.empty() || line_of(cache + "type") == "Instruction") continue;
        const std::int64_t cpus = std::max<std::int64_t>(count_of(line_of(cache + "shared_cpu_list")), 1);
        if (level == "1") threads = cpus;
        std::int64_t number = 0;
        char unit = 'K';
        std::istringstream(size) >> number >> unit;
        if (level == "2") bytes = number << (unit == 'M' ? 20 : 10), sharing = cpus;
    }
    if (bytes > 0) return bytes / std::max<std::int64_t>(sharing / threads, 1);
#if defined(_SC_LEVEL2_CACHE_SIZE)
    return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
    return 0;
#endif
}
#elif defined(__APPLE__)
std::int64_t asked(const char* name) {
    std::int64_t value = 0;
    std::size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && size <= sizeof value ? value : 0;
}

std::int64_t found() {
    return asked("hw.perflevel0.l2cachesize") / std::max<std::int64_t>(asked("hw.perflevel0.cpusperl2"), 1);
}
#else
std::int64_t found() { return 0; }
#endif

}  // namespace

std::int64_t bytes_of_own_cache() {
    static const std::int64_t bytes = found() > 0 ? found() : kAssumed;
    return bytes;
}

}  // namespace hiddenstate
