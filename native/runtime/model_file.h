// Reads a model file: safetensors, whose metadata say what the tensors are. Nothing in a file is trusted.
//
// 8 bytes: the header's length, little-endian; the header: a JSON object, from each tensor's name to its type, shape and place in the
// data, and from "__metadata__" to an object of strings; the data. https://github.com/huggingface/safetensors has the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace hiddenstate::runtime {

// The error in a file, in words for the user.
struct FileError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum class Type { F32, F16, BF16, I8 };

// A tensor in the file's bytes, which may be at an odd address.
struct Tensor {
    Type type = Type::F32;
    std::vector<std::int64_t> shape;
    const unsigned char* data = nullptr;

    std::int64_t size() const;
    // Its numbers as floats.
    std::vector<float> floats() const;
};

struct ModelFile {
    std::map<std::string, std::string> metadata;
    std::map<std::string, Tensor> tensors;

    // `bytes` must live as long as the tensors are read. Throws FileError.
    static ModelFile parse(const unsigned char* bytes, std::size_t size);

    // An entry of the metadata, or a tensor; throws FileError if there is none.
    const std::string& entry(const std::string& name) const;
    const Tensor& tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;
};

// The bytes of a file. Throws FileError, including if it has more than `most` bytes.
std::vector<unsigned char> read_file(const char* path, std::size_t most);

}  // namespace hiddenstate::runtime
