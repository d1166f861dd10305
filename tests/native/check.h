// Checks that count failures, print them, and go on.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace checks {

inline std::atomic<std::int64_t> made{0}, failed{0};  // threads check, too
inline std::string context;  // what is being checked: printed with each failure

inline void fail(const std::string& what) {
    constexpr std::int64_t kPrinted = 20;
    if (failed++ < kPrinted) std::fprintf(stderr, "FAILED %s: %s\n", context.c_str(), what.c_str());
}

inline void that(bool holds, const std::string& what) {
    ++made;
    if (!holds) fail(what);
}

// Fails if `got` is not within `tolerance`, or is NaN.
inline void close(const char* what, std::int64_t at, double got, double want, double tolerance) {
    ++made;
    if (std::abs(got - want) <= tolerance) return;
    fail(std::string(what) + "[" + std::to_string(at) + "] is " + std::to_string(got) + ", expected " +
         std::to_string(want) + ", off by " + std::to_string(std::abs(got - want) / tolerance) + " tolerances");
}

inline int report() {
    std::printf("%lld checks, %lld failed\n", static_cast<long long>(made.load()), static_cast<long long>(failed.load()));
    return failed ? 1 : 0;
}

}  // namespace checks
