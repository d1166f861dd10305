#include "random/twister.h"

#include <algorithm>
#include <cmath>

namespace hiddenstate {
namespace {

std::uint32_t twisted(std::uint32_t high, std::uint32_t low) {
    const std::uint32_t mixed = (high & 0x80000000u) | (low & 0x7fffffffu);
    return (mixed >> 1) ^ ((low & 1u) ? 0x9908b0dfu : 0u);
}

std::uint32_t tempered(std::uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

}  // namespace

Twister::Twister(const TwisterState& state) : left_(state.left), next_(static_cast<std::int64_t>(state.next)) {
    std::transform(state.words, state.words + kWords, words_, [](std::uint64_t word) { return static_cast<std::uint32_t>(word); });
    next_ = std::clamp<std::int64_t>(next_, 0, kWords), left_ = std::clamp(left_, 1, static_cast<std::int32_t>(kWords - next_ + 1));
}

void Twister::store(TwisterState& state) const {
    std::copy_n(words_, kWords, state.words);
    state.left = left_, state.next = static_cast<std::uint64_t>(next_);
}

// Each word is computed from three others, all at least a vector's length away, so that compilers can vectorise the loop.
void Twister::renew() {
    constexpr int kMiddle = 397;
    for (int k = 0; k < kWords - kMiddle; ++k) words_[k] = words_[k + kMiddle] ^ twisted(words_[k], words_[k + 1]);
    for (int k = kWords - kMiddle; k < kWords - 1; ++k) {
        words_[k] = words_[k + kMiddle - kWords] ^ twisted(words_[k], words_[k + 1]);
    }
    words_[kWords - 1] = words_[kMiddle - 1] ^ twisted(words_[kWords - 1], words_[0]);
    left_ = kWords + 1, next_ = 0;
}

void Twister::draw(std::uint32_t* to, std::int64_t count) {
    while (count > 0) {
        if (left_ <= 1) renew();
        const std::int64_t some = std::min<std::int64_t>(count, left_ - 1);
        for (std::int64_t k = 0; k < some; ++k) to[k] = tempered(words_[next_ + k]);
        to += some, count -= some, next_ += some, left_ -= static_cast<std::int32_t>(some);
    }
}

template <class Number>
void draw_bernoulli(Twister& twister, double probability, Number kept, std::int64_t count, Number* to) {
    // torch draws two numbers and compares 53 of their bits, as a fraction, with the probability; comparing integers gives the same result.
    constexpr std::int64_t kAtOnce = 512;
    constexpr std::uint64_t kBits = (std::uint64_t{1} << 53) - 1;
    const auto below = static_cast<std::uint64_t>(std::ceil(std::clamp(probability, 0.0, 1.0) * static_cast<double>(kBits + 1)));
    std::uint32_t drawn[2 * kAtOnce];
    for (std::int64_t first = 0; first < count; first += kAtOnce) {
        const std::int64_t some = std::min(kAtOnce, count - first);
        twister.draw(drawn, 2 * some);
        for (std::int64_t k = 0; k < some; ++k) {
            const std::uint64_t both = std::uint64_t{drawn[2 * k]} << 32 | drawn[2 * k + 1];
            to[first + k] = (both & kBits) < below ? kept : Number{};
        }
    }
}

template void draw_bernoulli(Twister&, double, float, std::int64_t, float*);
template void draw_bernoulli(Twister&, double, double, std::int64_t, double*);
template void draw_bernoulli(Twister&, double, std::uint16_t, std::int64_t, std::uint16_t*);

}  // namespace hiddenstate
