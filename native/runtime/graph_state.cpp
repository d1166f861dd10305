// What streams of a graph carry, as files: safetensors whose metadata name the model file by its fingerprint.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "runtime/graph.h"
#include "runtime/operations.h"

namespace hiddenstate::runtime {
namespace {

using Index = std::int64_t;

constexpr char kFormat[] = "hiddenstate.graph-stream/1";  // STATE_FORMAT of models/graph/graph.py

// The state of BLAKE2b (RFC 7693) with a digest of 16 bytes.
class Blake2b {
public:
    Blake2b() { hash_[0] ^= 0x01010000 ^ kDigest; }

    // Adds a block of up to 128 bytes, `count` bytes from the beginning; only the last may be shorter.
    void add(const unsigned char* bytes, std::size_t size, std::uint64_t count, bool is_last) {
        static constexpr char kOrders[10][17] = {"0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
                                                 "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0"};
        std::uint64_t m[16] = {}, v[16];
        if (size > 0) std::memcpy(m, bytes, size);
        std::copy_n(hash_, 8, v), std::copy_n(kBegin, 8, v + 8);
        v[12] ^= count;
        if (is_last) v[14] = ~v[14];
        for (int round = 0; round < 12; ++round) {
            const char* const order = kOrders[round % 10];
            const auto word = [&](int k) { return m[order[k] <= '9' ? order[k] - '0' : order[k] - 'a' + 10]; };
            const auto mix = [&](int k, std::uint64_t& a, std::uint64_t& b, std::uint64_t& c, std::uint64_t& d) {
                a += b + word(k), d = turned(d ^ a, 32), c += d, b = turned(b ^ c, 24);
                a += b + word(k + 1), d = turned(d ^ a, 16), c += d, b = turned(b ^ c, 63);
            };
            mix(0, v[0], v[4], v[8], v[12]), mix(2, v[1], v[5], v[9], v[13]), mix(4, v[2], v[6], v[10], v[14]), mix(6, v[3], v[7], v[11], v[15]);
            mix(8, v[0], v[5], v[10], v[15]), mix(10, v[1], v[6], v[11], v[12]), mix(12, v[2], v[7], v[8], v[13]), mix(14, v[3], v[4], v[9], v[14]);
        }
        for (int k = 0; k < 8; ++k) hash_[k] ^= v[k] ^ v[k + 8];
    }

    std::string digest() const {
        std::string text;
        for (int k = 0; k < kDigest; ++k) {
            const auto byte = static_cast<unsigned>(hash_[k / 8] >> k % 8 * 8 & 0xFF);
            text += "0123456789abcdef"[byte >> 4], text += "0123456789abcdef"[byte & 15];
        }
        return text;
    }

private:
    static constexpr int kDigest = 16;
    static constexpr std::uint64_t kBegin[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                                0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

    static std::uint64_t turned(std::uint64_t x, int bits) { return x >> bits | x << (64 - bits); }

    std::uint64_t hash_[8] = {kBegin[0], kBegin[1], kBegin[2], kBegin[3], kBegin[4], kBegin[5], kBegin[6], kBegin[7]};
};

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        char escape[8] = {c};
        if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
        result.append(escape);
    }
    return result + '"';
}

}  // namespace

std::string fingerprint_of(const unsigned char* bytes, std::size_t size) {
    Blake2b hash;
    std::size_t at = 0;
    do {
        const std::size_t part = std::min<std::size_t>(128, size - at);
        hash.add(bytes + at, part, at + part, at + part == size);
        at += part;
    } while (at < size);
    return hash.digest();
}

std::vector<Graph::StatePart> Graph::state_parts() const {
    std::vector<StatePart> parts;
    Index begin = 0;
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
        const Node& node = nodes_[place];
        if (carries_[place] < 0) continue;
        const auto add = [&](const char* letter, const Shape& shape) {
            std::string name = node.name.empty() ? letter : node.name + "." + letter;
            const auto has_name = [&name](const StatePart& part) { return part.name == name; };
            if (std::any_of(parts.begin(), parts.end(), has_name)) name += "@" + std::to_string(place);
            parts.push_back({name, shape, begin});
            begin += size_of(shape, 1, 1);
        };
        if (node.op->kind == Op::conv1d) {
            add("x", {kN, shapes[static_cast<std::size_t>(node.inputs[0])][1], node.list("padding")[0]});
        } else {
            const Sizes& sizes = layers_.at(node.settings.at("prefix").text)->sizes;
            add("h", {sizes.L, kN, sizes.P});
            if (sizes.cell->has_memory) add("c", {sizes.L, kN, sizes.H});
        }
    }
    return parts;
}

// Calls copy(place in the file's array, place in the rows' states, count) for the numbers of a part of N rows.
template <class Copy>
void Graph::each_run(const StatePart& part, Index N, const Copy& copy) const {
    const Index outer = part.shape[0] == kN ? 1 : part.shape[0], inner = size_of(part.shape, 1, 1) / outer;
    for (Index k = 0; k < outer * N; ++k) copy(k * inner, k % N * state_size_ + part.begin + k / N * inner, inner);
}

void Graph::save_states(const float* states, Index N, const std::string& path) const {
    std::string header = "{\"__metadata__\":{\"format\":" + quoted(kFormat) + ",\"model\":" + quoted(fingerprint_) + "}";
    std::vector<float> numbers;
    for (const StatePart& part : state_parts()) {
        const std::size_t begin = numbers.size();
        numbers.resize(begin + static_cast<std::size_t>(size_of(part.shape, 1, N)));
        each_run(part, N, [&](Index to, Index from, Index count) { std::copy_n(states + from, count, numbers.data() + begin + to); });
        header += "," + quoted(part.name) + ":{\"dtype\":\"F32\",\"shape\":[";
        for (std::size_t k = 0; k < 3; ++k) header += (k ? "," : "") + std::to_string(size_of({part.shape[k]}, 1, N));
        header += "],\"data_offsets\":[" + std::to_string(4 * begin) + "," + std::to_string(4 * numbers.size()) + "]}";
    }
    header += "}";
    std::string length(8, '\0');
    for (std::size_t k = 0; k < 8; ++k) length[k] = static_cast<char>(std::uint64_t{header.size()} >> 8 * k & 0xFF);
    // Written beside the file, which is replaced only by a whole one.
    const std::string beside = path + "." + std::to_string(std::random_device()()) + ".part";
    std::FILE* const file = std::fopen(beside.c_str(), "wbx");
    const auto write = [file](const void* bytes, std::size_t size) { return std::fwrite(bytes, 1, size, file) == size; };
    bool is_written = file && write(length.data(), 8) && write(header.data(), header.size()) && write(numbers.data(), 4 * numbers.size());
    if (file) is_written = std::fclose(file) == 0 && is_written;
    std::error_code error(is_written ? 0 : errno ? errno : EIO, std::generic_category());
    if (is_written) std::filesystem::rename(beside, path, error);
    if (!error) return;
    if (file) std::remove(beside.c_str());
    throw FileError("cannot write " + path + ": " + error.message());
}

std::vector<float> Graph::load_states(Index N, const std::string& path) const {
    const std::vector<unsigned char> bytes = read_file(path.c_str(), kLargestFile);
    try {
        const ModelFile file = ModelFile::parse(bytes.data(), bytes.size());
        const auto is = [&file](const char* name, const std::string& wanted) { return file.metadata.count(name) && file.metadata.at(name) == wanted; };
        if (!is("format", kFormat) || !is("model", fingerprint_)) throw FileError("it is not a state of a stream of this model file");
        std::vector<float> states(static_cast<std::size_t>(N * state_size_));
        for (const StatePart& part : state_parts()) {
            std::vector<Index> shape;
            for (const Index size : part.shape) shape.push_back(size_of({size}, 1, N));
            if (file.tensor(part.name).shape != shape) throw FileError("'" + part.name + "' has another shape, or is of other than " + std::to_string(N) + " rows");
            const std::vector<float> numbers = restored(file, part.name);
            each_run(part, N, [&](Index from, Index to, Index count) { std::copy_n(numbers.data() + from, count, states.data() + to); });
        }
        file.finish();
        return states;
    } catch (const FileError& error) {
        throw FileError("cannot load " + path + ": " + error.what());
    }
}

}  // namespace hiddenstate::runtime
