// Reads a model file: safetensors with metadata that describe the tensors. Nothing in a file is trusted.
//
// A file consists of the header's length (8 bytes, little-endian), the header, and the data. The header is a JSON object that maps each
// tensor's name to its type, shape and position in the data, and "__metadata__" to an object of strings. See
// https://github.com/huggingface/safetensors, whose rules hold here too: the header is UTF-8 and at most 100 MB long, and the tensors fill
// the data without gaps or overlaps. Besides, there are at most 4,096 entries of metadata and 65,536 tensors, and all numbers are finite,
// so a file takes at most a few times its size in memory. The other readers follow the same rules (tests/runtime/hostile_models.py).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace hiddenstate::runtime {

// An error in a file, with a message for the user.
struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Type { F32, F16, BF16, I8 };

// A tensor in the file's bytes, which may be unaligned.
struct Tensor {
    Type type = Type::F32;
    std::vector<std::int64_t> shape;
    const unsigned char* data = nullptr;
    mutable bool is_used = false;

    std::int64_t size() const;
    // The tensor's numbers as floats, which may not be finite.
    std::vector<float> floats() const;
};

struct ModelFile {
    const unsigned char* bytes = nullptr;
    std::size_t size = 0;
    std::map<std::string, std::string> metadata;
    std::map<std::string, Tensor> tensors;

    // `bytes` must live as long as the tensors are read. Throws FileError.
    static ModelFile parse(const unsigned char* bytes, std::size_t size);

    // An entry of the metadata, or a tensor, which counts as used. Throws FileError if there is none, or it has another shape.
    const std::string& entry(const std::string& name) const;
    const Tensor& tensor(const std::string& name) const;
    const Tensor& tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
    // Throws FileError if a tensor was not used.
    void finish() const;
};

constexpr std::size_t kLargestFile = static_cast<std::size_t>(std::min<std::uint64_t>(std::uint64_t{1} << 34, SIZE_MAX / 2));

// The bytes of a file. Throws FileError if it can't be read, or is larger than `most` bytes.
std::vector<unsigned char> read_file(const char* path, std::size_t most);

}  // namespace hiddenstate::runtime
