// Converts text to code points, and code points to lower case.
#pragma once

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

// The code points of a UTF-8 text; empty if it is not valid UTF-8.
std::optional<std::u32string> decoded(const std::string& text);
std::string encoded(std::u32string_view text);

// Like Python's str.lower, except for a capital sigma next to an apostrophe or similar sign: here the sign always ends a word, in Python
// not necessarily.
std::u32string lower_case(const std::u32string& text);

}  // namespace hiddenstate::runtime
