// Arrays of the number types that scans compute in, and their comparison.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "check.h"
#include "kernel/precision.h"
#include "reference.h"

namespace hiddenstate::test {

using reference::Numbers;
using reference::Size;

inline double number(double v) { return v; }
inline double number(bfloat16 v) {
    const std::uint32_t bits = static_cast<std::uint32_t>(v.bits) << 16;
    float f;
    std::memcpy(&f, &bits, sizeof f);
    return f;
}

inline void store(double from, double& to) { to = from; }
inline void store(double from, float& to) { to = static_cast<float>(from); }
inline void store(double from, bfloat16& to) {
    const float f = static_cast<float>(from);
    std::uint32_t bits;
    std::memcpy(&bits, &f, sizeof bits);
    // To the nearest, ties to even; a NaN stays a NaN.
    to.bits = static_cast<std::uint16_t>(std::isnan(f) ? 0x7fc0 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class Element>
double rounded(double v) {
    Element stored;
    store(v, stored);
    return number(stored);
}

// Exactly `size` numbers on the heap, so that AddressSanitizer finds accesses past the end. They begin at a cache line or,
// `shifted`, at an address that is aligned to one number only.
template <class T>
class Array {
public:
    explicit Array(Size size, bool shifted = false)
        : size_(size), shift_(shifted), memory_(static_cast<T*>(::operator new(bytes(), kLine))) {}
    Array(const Numbers& from, bool shifted) : Array(static_cast<Size>(from.size()), shifted) {
        for (Size k = 0; k < size_; ++k) store(reference::at(from, k), data()[k]);
    }

    Array& fill(double value) {
        for (Size k = 0; k < size_; ++k) store(value, data()[k]);
        return *this;
    }

    // Null if it is empty, as a part of a call is that its kind of cell does not have.
    T* data() const { return size_ ? memory_.get() + shift_ : nullptr; }
    Size size() const { return size_; }
    double operator[](Size k) const { return number(data()[k]); }
    bool operator==(const Array& other) const {
        return size_ == other.size_ && (!size_ || !std::memcmp(data(), other.data(), static_cast<std::size_t>(size_) * sizeof(T)));
    }

private:
    static constexpr std::align_val_t kLine{64};

    struct Free {
        void operator()(T* memory) const { ::operator delete(memory, kLine); }
    };

    std::size_t bytes() const { return static_cast<std::size_t>(size_ + shift_) * sizeof(T); }

    Size size_, shift_;
    std::unique_ptr<T, Free> memory_;
};

// The value that output arrays are filled with before a scan; it must remain where a scan must not write.
constexpr double kUntouched = 77;

// Checks each number within `tolerance` times the largest wanted number, or 1 if that is larger; a wanted NaN means untouched.
template <class T>
void expect_close(const char* what, const Array<T>& got, const Numbers& want, double tolerance) {
    double largest = 1;
    for (const double v : want) largest = std::fmax(largest, std::abs(v));
    checks::that(got.size() == static_cast<Size>(want.size()), std::string(what) + " has another size");
    for (Size k = 0; k < got.size(); ++k) {
        const double v = reference::at(want, k);
        checks::close(what, k, got[k], std::isnan(v) ? kUntouched : v, tolerance * largest);
    }
}

}  // namespace hiddenstate::test
