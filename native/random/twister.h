// Draws the same random numbers as torch on a CPU, from the state of a torch generator, which can continue from the updated state.
//
// The generator is the Mersenne Twister (Matsumoto and Nishimura 1998). torch draws one number at a time; here a whole state is drawn at
// once.
#pragma once

#include <cstdint>

namespace hiddenstate {

// The layout of the bytes that torch.Generator.get_state returns.
struct TwisterState {
    static constexpr int kWords = 624;

    std::uint64_t first_seed;
    std::int32_t left;  // one more than the number of draws left before the words are renewed
    std::int32_t seeded;
    std::uint64_t next;           // the index of the next word
    std::uint64_t words[kWords];  // 32-bit words
    std::uint64_t others[5];      // for torch's normal distribution
};

constexpr int kTwisterNumbers = sizeof(TwisterState) / 8;

// Draws 32-bit numbers one after another.
class Twister {
public:
    explicit Twister(const TwisterState& state);
    // Writes the state after the numbers drawn so far.
    void store(TwisterState& state) const;

    void draw(std::uint32_t* to, std::int64_t count);

private:
    void renew();

    static constexpr int kWords = TwisterState::kWords;

    std::uint32_t words_[kWords];
    std::int32_t left_;
    std::int64_t next_;
};

// Draws the same `count` numbers as torch's bernoulli_(probability); writes `kept` for each 1, otherwise zero.
template <class Number>
void draw_bernoulli(Twister& twister, double probability, Number kept, std::int64_t count, Number* to);

}  // namespace hiddenstate
