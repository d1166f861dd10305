// Reads JSON: the header of a model file, and a tagger's settings in its metadata.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "runtime/model_file.h"
#include "runtime/text.h"

namespace hiddenstate::runtime {

[[noreturn]] inline void damaged(const std::string& what) { throw FileError("the file is damaged: " + what); }

// Reads JSON from left to right. Each call requires the input to have the matching value.
class Json {
public:
    Json(const char* first, const char* last) : at_(first), end_(last) {}

    // Calls read(key) after each key of an object; it must read the value.
    template <class Read>
    void object(const Read& read) {
        expect('{');
        if (accepts('}')) return;
        do {
            const std::string key = string();
            expect(':');
            read(key);
        } while (accepts(','));
        expect('}');
    }

    template <class Read>
    void array(const Read& read) {
        expect('[');
        if (accepts(']')) return;
        do read();
        while (accepts(','));
        expect(']');
    }

    // A non-negative integer.
    std::int64_t size() {
        skip_space();
        const char* const begin = at_;
        std::int64_t value = 0;
        for (; at_ != end_ && *at_ >= '0' && *at_ <= '9'; ++at_) {
            if (value > (std::numeric_limits<std::int64_t>::max() - 9) / 10) damaged("a number in its header is too large");
            value = 10 * value + (*at_ - '0');
        }
        if (at_ == begin || (*begin == '0' && at_ - begin > 1)) damaged("its JSON lacks a whole number");
        return value;
    }

    // A number, and whether it is written as an integer.
    double number(bool* is_integer) {
        skip_space();
        const char* const begin = at_;
        const bool negative = at_ != end_ && *at_ == '-';
        at_ += negative;
        const char* const first = at_;
        double value = 0;
        int exponent = 0;
        for (; at_ != end_ && is_digit(*at_); ++at_) value = 10 * value + (*at_ - '0');
        if (at_ == first || (*first == '0' && at_ - first > 1)) damaged("a number in it is none");
        *is_integer = at_ == end_ || (*at_ != '.' && *at_ != 'e' && *at_ != 'E');
        if (at_ != end_ && *at_ == '.') {
            const char* const point = at_++;
            for (; at_ != end_ && is_digit(*at_); ++at_, --exponent) value = 10 * value + (*at_ - '0');
            if (at_ - point == 1) damaged("a number in it is none");
        }
        if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
            ++at_;
            const bool below = at_ != end_ && *at_ == '-';
            at_ += at_ != end_ && (below || *at_ == '+');
            const char* const power = at_;
            int more = 0;
            for (; at_ != end_ && is_digit(*at_); ++at_) more = more < 1000 ? 10 * more + (*at_ - '0') : more;
            if (at_ == power) damaged("a number in it is none");
            exponent += below ? -more : more;
        }
        if (at_ - begin > kLongestNumber) damaged("a number in it is too long");
        value = exponent < 0 ? value / std::pow(10.0, -exponent) : value * std::pow(10.0, exponent);
        return negative ? -value : value;
    }

    // The first character of the next value; 0 at the end.
    char peek() {
        skip_space();
        return at_ == end_ ? '\0' : *at_;
    }

    std::string string() {
        expect('"');
        std::string text;
        while (true) {
            const char c = next();
            if (c == '"') return text;
            if (static_cast<unsigned char>(c) < 0x20) damaged("a text in its header has a control character");
            if (c == '\\') {
                escape(text);
            } else {
                text += c;
            }
        }
    }

    bool boolean() {
        skip_space();
        const bool value = end_ - at_ >= 4 && std::memcmp(at_, "true", 4) == 0;
        if (!value && !(end_ - at_ >= 5 && std::memcmp(at_, "false", 5) == 0)) damaged("its JSON lacks true or false");
        at_ += value ? 4 : 5;
        return value;
    }

    // Skips a value of any type.
    void skip(int depth = 0) {
        if (depth > kDeepest) damaged("its header is nested too deeply");
        skip_space();
        const char c = at_ == end_ ? '\0' : *at_;
        if (c == '{') return object([&](const std::string&) { skip(depth + 1); });
        if (c == '[') return array([&] { skip(depth + 1); });
        if (c == '"') return void(string());
        const char* const begin = at_;  // the start of a number or a keyword
        while (at_ != end_ && *at_ && std::strchr("+-.0123456789Eaeflnrstu", *at_)) ++at_;
        if (at_ == begin) damaged("its JSON lacks a value");
    }

    void end() {
        skip_space();
        if (at_ != end_) damaged("there is something after its header");
    }

private:
    static constexpr int kDeepest = 32;
    static constexpr std::ptrdiff_t kLongestNumber = 64;

    static bool is_digit(char c) { return c >= '0' && c <= '9'; }

    char next() {
        if (at_ == end_) damaged("its header ends too early");
        return *at_++;
    }

    void skip_space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
    }

    bool accepts(char c) {
        skip_space();
        if (at_ == end_ || *at_ != c) return false;
        ++at_;
        return true;
    }

    void expect(char c) {
        if (!accepts(c)) damaged(std::string("its JSON lacks a '") + c + "'");
    }

    std::uint32_t hex() {
        std::uint32_t value = 0;
        for (int k = 0; k < 4; ++k) {
            const char c = next();
            const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
            if (digit < 0) damaged("an escape in its header is no hexadecimal number");
            value = 16 * value + static_cast<std::uint32_t>(digit);
        }
        return value;
    }

    void escape(std::string& text) {
        static constexpr char kEscapes[] = "\"\\/bfnrt", kMeant[] = "\"\\/\b\f\n\r\t";
        const char c = next();
        if (c == 'u') return code_point(text);
        const char* const found = c ? std::strchr(kEscapes, c) : nullptr;
        if (!found) damaged("its header has an unknown escape");
        text += kMeant[found - kEscapes];
    }

    void code_point(std::string& text) {
        char32_t code = hex();
        if (code >= 0xD800 && code < 0xDC00) {  // the first of a pair
            if (next() != '\\' || next() != 'u') damaged("its header has half of a surrogate pair");
            const std::uint32_t second = hex();
            if (second < 0xDC00 || second >= 0xE000) damaged("its header has half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            damaged("its header has half of a surrogate pair");
        }
        append_utf8(text, code);
    }

    const char* at_;
    const char* const end_;
};

}  // namespace hiddenstate::runtime
