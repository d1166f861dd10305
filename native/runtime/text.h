// Converts text to code points, and code points to lower case.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace hiddenstate::runtime {

inline void append_utf8(std::string& text, char32_t code) {
    const auto add = [&text](char32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) return add(code);
    if (code < 0x800) return add(0xC0 | code >> 6), add(0x80 | (code & 0x3F));
    if (code < 0x10000) return add(0xE0 | code >> 12), add(0x80 | (code >> 6 & 0x3F)), add(0x80 | (code & 0x3F));
    add(0xF0 | code >> 18), add(0x80 | (code >> 12 & 0x3F)), add(0x80 | (code >> 6 & 0x3F)), add(0x80 | (code & 0x3F));
}

// Reads the code point at `at`, which is before `end`, and moves `at` past it. False if it is not valid UTF-8.
inline bool read_code_point(const char*& at, const char* end, char32_t& code) {
    const auto first = static_cast<unsigned char>(*at++);
    const std::ptrdiff_t more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || end - at < more) return false;
    code = more ? first & (0x3F >> more) : first;
    for (std::ptrdiff_t k = 0; k < more; ++k, ++at) {
        const auto next = static_cast<unsigned char>(*at);
        if ((next & 0xC0) != 0x80) return false;
        code = code << 6 | (next & 0x3F);
    }
    static constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    return code >= kLeast[more] && code <= 0x10FFFF && !(code >= 0xD800 && code < 0xE000);
}

inline bool is_utf8(const char* at, const char* end) {
    char32_t code;
    while (at != end) {
        if (!read_code_point(at, end, code)) return false;
    }
    return true;
}

// The code points of a UTF-8 text; empty if it is not valid UTF-8.
std::optional<std::u32string> decoded(const std::string& text);
std::string encoded(std::u32string_view text);

// Like Python's str.lower, except for a capital sigma next to an apostrophe or similar sign: here the sign always ends a word, in Python
// not necessarily.
std::u32string lower_case(const std::u32string& text);

}  // namespace hiddenstate::runtime
