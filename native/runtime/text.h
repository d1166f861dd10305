// Texts as code points, and their lower case.
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

// The code points of a text in UTF-8; none if it is not UTF-8.
std::optional<std::u32string> decoded(const std::string& text);
std::string encoded(std::u32string_view text);

// As Python's str.lower, but for a capital sigma beside an apostrophe or another sign, which ends a word here and need not there.
std::u32string lower_case(const std::u32string& text);

}  // namespace hiddenstate::runtime
