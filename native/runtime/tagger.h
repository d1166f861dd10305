// A tagger without torch: assigns a tag to each word of a sentence.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/model.h"

namespace hiddenstate::runtime {

// Immutable, so any number of threads may share it.
class Tagger {
public:
    // A column of tags; `tags` are its strings. With a chain, the result is the most probable sequence of tags, otherwise each word's most
    // probable tag.
    struct Column {
        std::string name;
        std::vector<std::string> tags;
        std::vector<float> start, transitions, end;  // scores of the chain: [K], [K, K], [K]; empty without a chain
    };

    // Throws FileError.
    explicit Tagger(const ModelFile& file);

    // Returns the tags of the words for each column, [columns, words]. No word may be empty. May throw std::bad_alloc.
    std::vector<const char*> tag(const std::vector<std::u32string>& words) const;

    const std::vector<Column>& columns() const { return columns_; }

private:
    using Ids = std::unordered_map<std::string, std::size_t>;

    // The vectors of a vocabulary's tokens, by id.
    struct Embedding {
        Ids ids;
        std::int64_t width = 0;
        std::vector<float> vectors;

        const float* of(const std::string& token) const;
    };

    void spell(const std::vector<std::u32string>& words, float* to, std::int64_t row) const;

    Embedding words_, characters_;
    std::shared_ptr<const Layer> speller_, layer_;  // without a speller, words have only vectors
    std::vector<Column> columns_;
    std::int64_t scores_ = 0;
    std::vector<float> weight_, bias_;  // of the output layer: [D * H, scores], [scores]
    std::size_t longest_ = 0;
    bool lower_case_ = true;
};

}  // namespace hiddenstate::runtime
