#include "runtime/text.h"

#include <algorithm>
#include <iterator>

#include "runtime/lower_case.h"

namespace hiddenstate::runtime {
namespace {

constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2, kDottedI = 0x130, kDotAbove = 0x307;

const LowerCase* rule_of(char32_t c) {
    const auto after = std::upper_bound(std::begin(kLowerCase), std::end(kLowerCase), c, [](char32_t c, const LowerCase& rule) { return c < rule.first; });
    if (after == std::begin(kLowerCase)) return nullptr;
    const LowerCase* const rule = std::prev(after);
    return c - rule->first <= rule->span && (c - rule->first) % rule->stride == 0 ? rule : nullptr;
}

char32_t lower_case(char32_t c) {
    const LowerCase* const rule = rule_of(c);
    return rule ? static_cast<char32_t>(static_cast<std::int32_t>(c) + rule->change) : c;
}

// Whether a character has an upper and a lower case.
bool is_cased(char32_t c) {
    return rule_of(c) || std::any_of(std::begin(kLowerCase), std::end(kLowerCase), [c](const LowerCase& rule) {
               const auto upper = static_cast<char32_t>(static_cast<std::int32_t>(c) - rule.change);
               return upper >= rule.first && upper - rule.first <= rule.span && (upper - rule.first) % rule.stride == 0;
           });
}

}  // namespace

std::optional<std::u32string> decoded(const std::string& text) {
    std::u32string found;
    const char* const end = text.data() + text.size();
    for (const char* at = text.data(); at != end;) {
        char32_t code;
        if (!read_code_point(at, end, code)) return std::nullopt;
        found += code;
    }
    return found;
}

std::string encoded(std::u32string_view text) {
    std::string found;
    for (const char32_t code : text) append_utf8(found, code);
    return found;
}

std::u32string lower_case(const std::u32string& text) {
    std::u32string found;
    for (std::size_t k = 0; k < text.size(); ++k) {
        const bool ends = text[k] == kSigma && k > 0 && is_cased(text[k - 1]) && (k + 1 == text.size() || !is_cased(text[k + 1]));
        found += ends ? kFinalSigma : text[k] == kDottedI ? U'i' : lower_case(text[k]);
        if (text[k] == kDottedI) found += kDotAbove;
    }
    return found;
}

}  // namespace hiddenstate::runtime
