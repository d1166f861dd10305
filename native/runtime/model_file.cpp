#include "runtime/model_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "runtime/json.h"
#include "runtime/text.h"

namespace hiddenstate::runtime {
namespace {

constexpr std::size_t kLengthBytes = 8, kLargestHeader = 100'000'000;  // the limit in safetensors itself
constexpr std::size_t kMostTensors = 1 << 16, kMostEntries = 1 << 12, kHighestRank = 8;

int width(Type type) { return type == Type::F32 ? 4 : type == Type::I8 ? 1 : 2; }

Type type_named(const std::string& name) {
    if (name == "F32") return Type::F32;
    if (name == "F16") return Type::F16;
    if (name == "BF16") return Type::BF16;
    if (name == "I8") return Type::I8;
    throw FileError("the model file has a tensor of type " + name.substr(0, 20) + ", expected F32, F16, BF16 or I8");
}

// The number of elements. Throws if it is more than `most`.
std::int64_t elements(const std::vector<std::int64_t>& shape, std::int64_t most) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) {
        if (size == 0) return 0;
    }
    for (const std::int64_t size : shape) {
        if (size > most / count) damaged("a tensor is larger than the file");
        count *= size;
    }
    return count;
}

Tensor read_tensor(Json& json, const unsigned char* data, std::int64_t room) {
    Tensor tensor;
    std::vector<std::int64_t> place;
    bool has_type = false, has_shape = false;
    json.object([&](const std::string& key) {
        if (key == "dtype" && !has_type) {
            tensor.type = type_named(json.string()), has_type = true;
        } else if (key == "shape" && !has_shape) {
            has_shape = true;
            json.array([&] {
                if (tensor.shape.size() == kHighestRank) damaged("a tensor has too many axes");
                tensor.shape.push_back(json.size());
            });
        } else if (key == "data_offsets" && place.empty()) {
            json.array([&] {
                if (place.size() == 2) damaged("a tensor has more than two offsets");
                place.push_back(json.size());
            });
        } else if (key == "dtype" || key == "shape" || key == "data_offsets") {
            damaged("a tensor's description repeats its " + key);
        } else {
            json.skip();
        }
    });
    if (!has_type || !has_shape || place.size() != 2) damaged("a tensor's description is incomplete");
    if (place[0] > place[1] || place[1] > room) damaged("a tensor lies outside of the file");
    const std::int64_t bytes = elements(tensor.shape, room) * width(tensor.type);
    if (bytes != place[1] - place[0]) damaged("a tensor's shape does not fit its bytes");
    tensor.data = data + place[0];
    return tensor;
}

// Throws unless the tensors fill the data without gaps or overlaps: otherwise they could take many times the file's size in memory.
void check_places(const std::map<std::string, Tensor>& tensors, const unsigned char* data, std::int64_t room) {
    std::vector<std::pair<const unsigned char*, std::int64_t>> places;
    for (const auto& [name, tensor] : tensors) places.emplace_back(tensor.data, tensor.size() * width(tensor.type));
    std::sort(places.begin(), places.end());
    const unsigned char* next = data;
    for (const auto& [begin, bytes] : places) {
        if (begin != next) damaged("there are gaps between its tensors, or they overlap");
        next += bytes;
    }
    if (next - data != room) damaged("its tensors do not have as many bytes as its data");
}

float from_half(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16, exponent = bits >> 10 & 0x1F, fraction = bits & 0x3FF;
    if (exponent == 0) {  // subnormal or zero
        const float value = static_cast<float>(fraction) * 0x1p-24F;
        return sign ? -value : value;
    }
    const std::uint32_t wide = sign | (exponent == 31 ? 0xFFU : exponent + 112) << 23 | fraction << 13;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

// The number of bytes after the current position of a file, and one more so that its end is noticed; 0 if that is unknown.
std::size_t bytes_left(std::FILE* file) {
    const long at = std::ftell(file);
    if (at < 0 || std::fseek(file, 0, SEEK_END) != 0) return 0;
    const long end = std::ftell(file);
    return std::fseek(file, at, SEEK_SET) == 0 && end >= at ? static_cast<std::size_t>(end - at) + 1 : 0;
}

// The bytes of a header, as the first bytes of a file say.
std::uint64_t header_length(const unsigned char* bytes, std::size_t size) {
    if (size < kLengthBytes) damaged("it has fewer than 8 bytes");
    std::uint64_t length = 0;
    for (std::size_t k = 0; k < kLengthBytes; ++k) length |= static_cast<std::uint64_t>(bytes[k]) << 8 * k;
    if (length == 0 || length > kLargestHeader) damaged("its header is empty or longer than 100 MB: is it a safetensors file?");
    return length;
}

}  // namespace

std::int64_t Tensor::size() const {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    return count;
}

std::vector<float> Tensor::floats() const {
    std::vector<float> values(static_cast<std::size_t>(size()));
    if (type == Type::F32 && !values.empty()) std::memcpy(values.data(), data, values.size() * sizeof(float));
    if (type == Type::I8) {
        for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<signed char>(data[k]);
    }
    if (type == Type::F16 || type == Type::BF16) {
        for (std::size_t k = 0; k < values.size(); ++k) {
            const auto bits = static_cast<std::uint16_t>(data[2 * k] | data[2 * k + 1] << 8);
            const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
            type == Type::F16 ? void(values[k] = from_half(bits)) : void(std::memcpy(&values[k], &wide, sizeof(float)));
        }
    }
    return values;
}

ModelFile ModelFile::parse(const unsigned char* bytes, std::size_t size) {
    const std::uint64_t length = header_length(bytes, size);
    if (length > size - kLengthBytes) damaged("its header is longer than the file");
    const unsigned char* const data = bytes + kLengthBytes + length;
    const auto room = static_cast<std::int64_t>(size - kLengthBytes - length);
    const char* const header = reinterpret_cast<const char*>(bytes) + kLengthBytes;
    if (!is_utf8(header, header + length)) damaged("its header is not UTF-8");
    ModelFile file{bytes, size, {}, {}};
    Json json(header, header + length);
    json.object([&](const std::string& name) {
        if (name == "__metadata__") {
            if (!file.metadata.empty()) damaged("its metadata come twice");
            json.object([&](const std::string& key) {
                file.metadata[key] = json.string();
                if (file.metadata.size() > kMostEntries) damaged("its metadata have more than 4,096 entries");
            });
        } else {
            if (file.tensors.size() == kMostTensors) damaged("it has more than 65,536 tensors");
            file.tensors[name] = read_tensor(json, data, room);  // the last of a name, as in other readers of JSON
        }
    });
    json.end();
    check_places(file.tensors, data, room);
    return file;
}

const std::string& ModelFile::entry(const std::string& name) const {
    const auto found = metadata.find(name);
    if (found == metadata.end()) throw FileError("the file is not a model of hiddenstate: its metadata lack '" + name + "'");
    return found->second;
}

const Tensor& ModelFile::tensor(const std::string& name) const {
    const auto entry = tensors.find(name);
    if (entry == tensors.end()) damaged("tensor '" + name + "' is missing");
    entry->second.is_used = true;
    return entry->second;
}

const Tensor& ModelFile::tensor(const std::string& name, const std::vector<std::int64_t>& shape) const {
    const Tensor& named = tensor(name);
    if (named.shape != shape) damaged("tensor '" + name + "' does not have the shape that its sizes require");
    return named;
}

void ModelFile::finish() const {
    for (const auto& [name, tensor] : tensors) {
        if (!tensor.is_used) damaged("tensor '" + name + "' is not one of this model");
    }
}

std::vector<unsigned char> read_file(const char* path, std::size_t most) {
    const auto refused = [path] { return FileError(std::string("cannot read ") + path + ": " + std::strerror(errno)); };
    const auto close = [](std::FILE* file) { std::fclose(file); };
    const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path, "rb"), close);
    if (!file) throw refused();
    // Read in parts, so that an endless pipe or device takes no more memory than `most`, and less if its beginning is no model's. The second
    // part is the rest of a file.
    std::vector<unsigned char> bytes;
    for (std::size_t found = 0, part = 1 << 16;; part = std::max(found, bytes_left(file.get()))) {
        bytes.resize(found + std::min(part, most - found));
        const std::size_t more = std::fread(bytes.data() + found, 1, bytes.size() - found, file.get());
        found += more;
        if (std::ferror(file.get())) throw refused();
        header_length(bytes.data(), found);
        if (more == 0 || std::feof(file.get())) {
            if (found == most && !std::feof(file.get())) throw FileError(std::string(path) + " is larger than a model file may be");
            bytes.resize(found);
            return bytes;
        }
    }
}

}  // namespace hiddenstate::runtime
