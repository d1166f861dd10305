// Loads damaged copies of the file of a layer, a tagger or a whole model: `hostile_files MODEL COUNT SEED`. Every copy must load or be refused with a message; what loads must
// run. Built with AddressSanitizer, which also bounds what one allocation may take.
#include <algorithm>
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
    // With `digits`, most changes are of digits in the header, after which it is still JSON.
    Damage(unsigned seed, bool digits) : random_(seed), digits_(digits) {}

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
        if (digits_ && below(4) > 0) {
            const auto found = std::find_if(bytes.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(at, 8)), bytes.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
            if (found != bytes.end()) *found = static_cast<unsigned char>('0' + below(10));
            return;
        }
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
    const bool digits_;
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

// Runs two steps of two rows, and streams them, if it can be streamed.
hs_status run_graph(const Bytes& bytes) {
    hs_graph* graph = nullptr;
    const hs_status status = load(bytes, hs_graph_load_memory, &graph);
    if (status != HS_OK) return status;
    std::vector<std::vector<std::int64_t>> inputs;
    std::vector<std::vector<float>> outputs;
    hs_array array;
    std::int64_t rows = 1, steps = 1;
    for (int k = 0; hs_graph_input(graph, k, &array) == HS_OK; ++k) {
        for (int axis = 0; axis < array.rank; ++axis) {
            if (array.sizes[axis] == HS_ROWS) rows = 2;
            if (array.sizes[axis] == HS_STEPS) steps = 2;
        }
    }
    for (int k = 0; hs_graph_input(graph, k, &array) == HS_OK; ++k) inputs.emplace_back(static_cast<std::size_t>(hs_array_size(&array, steps, rows)));
    for (int k = 0; hs_graph_output(graph, k, &array) == HS_OK; ++k) outputs.emplace_back(static_cast<std::size_t>(hs_array_size(&array, steps, rows)));
    std::vector<const void*> from;
    std::vector<float*> to;
    for (const auto& input : inputs) from.push_back(input.data());
    for (auto& output : outputs) to.push_back(output.data());
    if (hs_graph_run(graph, steps, rows, from.data(), to.data(), nullptr) != HS_OK) stop("a graph that was loaded did not run");
    hs_graph_stream *stream = nullptr, *other = nullptr;
    if (hs_graph_stream_new(graph, rows, &stream, nullptr) == HS_OK) {
        const std::int64_t last = rows - 1;
        std::vector<float> state(static_cast<std::size_t>(hs_graph_stream_state_size(stream)) + 1);
        if (hs_graph_stream_feed(stream, steps, from.data(), to.data(), nullptr) != HS_OK) stop("a stream did not take steps");
        if (hs_graph_stream_step(stream, &last, 1, from.data(), to.data(), nullptr) != HS_OK) stop("a stream did not take a step of a row");
        if (hs_graph_stream_get_state(stream, last, state.data()) != HS_OK) stop("a stream did not give a row's state");
        if (hs_graph_stream_fork(stream, &other, nullptr) != HS_OK || hs_graph_stream_set_state(other, 0, state.data()) != HS_OK) stop("no fork");
    }
    hs_graph_stream_free(stream), hs_graph_stream_free(other);
    hs_graph_free(graph);
    return HS_OK;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    std::ifstream file(arguments[1], std::ios::binary);
    const Bytes whole((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    long loaded = 0, refused = 0;
    hs_tagger* tagger = nullptr;
    const bool is_tagger = hs_tagger_load_memory(whole.data(), whole.size(), &tagger, nullptr) == HS_OK;
    hs_tagger_free(tagger);
    hs_graph* graph = nullptr;
    const bool is_graph = hs_graph_load_memory(whole.data(), whole.size(), &graph, nullptr) == HS_OK;
    hs_graph_free(graph);
    Damage damage(static_cast<unsigned>(std::atoi(arguments[3])), is_graph);
    for (long k = 0; k < std::atol(arguments[2]); ++k) {
        const Bytes bytes = damage(whole);
        const hs_status status = is_graph ? run_graph(bytes) : is_tagger ? tag(bytes) : run(bytes);
        if (status == HS_FILE) ++refused;
        if (status == HS_OK) ++loaded;
    }
    std::printf("%ld loaded, %ld refused\n", loaded, refused);
    return 0;
}
