// Loads damaged copies of the file of a layer or a tagger: `hostile_files MODEL COUNT SEED`. Every copy must load or be refused with a message; what loads must
// run. Built with AddressSanitizer, which also bounds what one allocation may take.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "hiddenstate.h"

namespace {

using Bytes = std::vector<unsigned char>;

class Damage {
public:
    explicit Damage(unsigned seed) : random_(seed) {}

    Bytes operator()(Bytes bytes) {
        const std::size_t header = 8 + (bytes[0] | bytes[1] << 8);
        const int changes = 1 + static_cast<int>(below(4));
        for (int k = 0; k < changes && !bytes.empty(); ++k) change(bytes, std::min(header, bytes.size()));
        return bytes;
    }

private:
    std::size_t below(std::size_t most) { return std::uniform_int_distribution<std::size_t>(0, most - 1)(random_); }

    void change(Bytes& bytes, std::size_t header) {
        static const char* const kWords[] = {"-1", "0", "999999999999999999", "18446744073709551616", "[[[[", "\\ud800", "\"", "}", "{", "1e9", "I8", "F64", "null"};
        const std::size_t at = below(header);
        switch (below(6)) {
            case 0: bytes[at] ^= static_cast<unsigned char>(1 << below(8)); break;
            case 1: bytes[at] = static_cast<unsigned char>(below(256)); break;
            case 2: bytes.resize(below(bytes.size() + 1)); break;
            case 3: bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at)); break;
            case 4: bytes[below(8)] = static_cast<unsigned char>(below(256)); break;
            default: {
                const char* const word = kWords[below(sizeof kWords / sizeof *kWords)];
                const std::size_t length = std::min(std::strlen(word), bytes.size() - at);
                std::memcpy(bytes.data() + at, word, length);
            }
        }
    }

    std::mt19937 random_;
};

[[noreturn]] void stop(const char* why) { std::printf("%s\n", why), std::exit(1); }

// What loading it gave; what fails must have said why.
template <class Made>
hs_status load(const Bytes& bytes, hs_status (*from_memory)(const void*, std::size_t, Made**, hs_error*), Made** made) {
    hs_error error = {""};
    const hs_status status = from_memory(bytes.data(), bytes.size(), made, &error);
    if (status != HS_OK && (*made || !error.message[0])) stop("refused without a message");
    return status;
}

hs_status run(const Bytes& bytes) {
    hs_model* model = nullptr;
    const hs_status status = load(bytes, hs_model_load_memory, &model);
    if (status != HS_OK) return status;
    const hs_sizes sizes = hs_model_sizes(model);
    std::vector<float> x(static_cast<std::size_t>(sizes.input_size)), out(static_cast<std::size_t>(sizes.output_size * sizes.directions));
    if (hs_run(model, 1, 1, x.data(), nullptr, nullptr, nullptr, out.data(), nullptr) != HS_OK) stop("a layer that was loaded did not run");
    hs_model_free(model);
    return HS_OK;
}

hs_status tag(const Bytes& bytes) {
    hs_tagger* tagger = nullptr;
    const hs_status status = load(bytes, hs_tagger_load_memory, &tagger);
    if (status != HS_OK) return status;
    std::size_t columns = 0;
    while (hs_tagger_column(tagger, static_cast<std::int64_t>(columns))) ++columns;
    const char* const words[] = {"The", "\u00dcberraschung", "x"};
    std::vector<const char*> tags(3 * columns);
    if (hs_tagger_tag(tagger, words, 3, tags.data(), nullptr) != HS_OK) stop("a tagger that was loaded did not tag");
    for (const char* found : tags) {
        if (std::strlen(found) > bytes.size()) stop("a tag that the file does not have");
    }
    hs_tagger_free(tagger);
    return HS_OK;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    std::ifstream file(arguments[1], std::ios::binary);
    const Bytes whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Damage damage(static_cast<unsigned>(std::atoi(arguments[3])));
    long loaded = 0, refused = 0;
    hs_tagger* tagger = nullptr;
    const bool is_tagger = hs_tagger_load_memory(whole.data(), whole.size(), &tagger, nullptr) == HS_OK;
    hs_tagger_free(tagger);
    for (long k = 0; k < std::atol(arguments[2]); ++k) {
        const Bytes bytes = damage(whole);
        const hs_status status = is_tagger ? tag(bytes) : run(bytes);
        if (status == HS_FILE) ++refused;
        if (status == HS_OK) ++loaded;
    }
    std::printf("%ld loaded, %ld refused\n", loaded, refused);
    return 0;
}
