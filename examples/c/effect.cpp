// An audio effect, block by block: a recurrent network models a circuit, one sample in and one out.
//
//     effect model.safetensors < in.raw > out.raw       raw: mono, 32-bit floats
//
// The layer reads one feature; its first unit is the output, scaled, and mixed with the input. The callback allocates nothing.
#include <cstdio>
#include <string>
#include <vector>

#include "hiddenstate.h"

namespace {

class Effect {
public:
    Effect(const char* path, float gain) : gain_(gain) {
        hs_error error;
        if (hs_model_load(path, &model_, &error) != HS_OK || hs_stream_new(model_, 1, &stream_, &error) != HS_OK) throw std::string(error.message);
        const hs_sizes sizes = hs_model_sizes(model_);
        if (sizes.input_size != 1) throw std::string("the effect needs a layer that reads 1 feature, a sample");
        state_.resize(static_cast<std::size_t>(sizes.output_size));
    }
    ~Effect() { hs_stream_free(stream_), hs_model_free(model_); }
    Effect(const Effect&) = delete;
    Effect& operator=(const Effect&) = delete;

    // The callback of the audio thread.
    void process(float* samples, std::size_t count) {
        for (std::size_t k = 0; k < count; ++k) {
            hs_stream_step(stream_, &samples[k], state_.data());
            samples[k] += gain_ * state_[0];
        }
    }

private:
    hs_model* model_ = nullptr;
    hs_stream* stream_ = nullptr;
    std::vector<float> state_;
    float gain_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) return std::fprintf(stderr, "usage: effect MODEL < IN > OUT\n"), 2;
    try {
        Effect effect(arguments[1], 0.5F);
        float block[256];
        while (const std::size_t got = std::fread(block, sizeof(float), 256, stdin)) {
            effect.process(block, got);
            std::fwrite(block, sizeof(float), got, stdout);
        }
    } catch (const std::string& message) {
        return std::fprintf(stderr, "%s\n", message.c_str()), 1;
    }
    return 0;
}
