// A tagger without torch: words in, a tag for each of them out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/model.h"

namespace hiddenstate::runtime {

// Never changed, and shared by any number of threads.
class Tagger {
public:
    // `tags` are its own texts. With a chain they are those of the most probable sequence, else each word's most probable one.
    struct Column {
        std::string name;
        std::vector<std::string> tags;
        std::vector<float> start, transitions, end;  // of the chain: [K], [K, K], [K]; empty without one
    };

    // Throws FileError.
    explicit Tagger(const ModelFile& file);

    // The tags of the words in each column, [columns, words]. No word may be empty. May throw std::bad_alloc.
    std::vector<const char*> tag(const std::vector<std::u32string>& words) const;

    const std::vector<Column>& columns() const { return columns_; }

private:
    using Ids = std::unordered_map<std::string, std::size_t>;

    // The vectors of the tokens of a vocabulary, by id.
    struct Embedding {
        Ids ids;
        std::int64_t width = 0;
        std::vector<float> vectors;

        const float* of(const std::string& token) const;
    };

    void spell(const std::vector<std::u32string>& words, float* to, std::int64_t row) const;

    Embedding words_, characters_;
    std::shared_ptr<const Layer> speller_, layer_;  // no speller: words have vectors only
    std::vector<Column> columns_;
    std::int64_t scores_ = 0;
    std::vector<float> weight_, bias_;  // of the scores: [D * H, scores], [scores]
    std::size_t longest_ = 0;
    bool lower_case_ = true;
};

}  // namespace hiddenstate::runtime
