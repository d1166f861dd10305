#include "runtime/tagger.h"

#include <algorithm>
#include <utility>

#include "runtime/json.h"
#include "runtime/text.h"

namespace hiddenstate::runtime {
namespace {

constexpr std::size_t kUnknown = 1, kSpecial = 2;  // the id of unknown tokens; the first id of a known token
constexpr std::int64_t kLargest = 1 << 20;         // the limit for sizes, so that their sums and products stay small

// A tagger's settings from its metadata. The defaults are the values that earlier versions, which did not store the setting, used.
struct Config {
    std::int64_t word_size = 0, char_size = 0, char_hidden_size = 0, hidden_size = 0, num_layers = 0, max_chars = 0;
    bool crf = false, bidirectional = true, lower_case = true;
    const Cell* cell = kCells;
};

Json json_of(const ModelFile& file, const std::string& entry) {
    const std::string& text = file.entry(entry);
    return {text.data(), text.data() + text.size()};
}

const Cell* cell_set(const std::string& setting) {
    for (const Cell& cell : kCells) {
        if (setting == cell.setting) return &cell;
    }
    throw FileError("the model file has the cells '" + setting.substr(0, 20) + "', which this version does not run");
}

Config read_config(const ModelFile& file) {
    Config config;
    const std::pair<const char*, std::int64_t*> sizes[] = {
        {"word_size", &config.word_size},     {"char_size", &config.char_size},   {"char_hidden_size", &config.char_hidden_size},
        {"hidden_size", &config.hidden_size}, {"num_layers", &config.num_layers}, {"max_chars", &config.max_chars}};
    const std::pair<const char*, bool*> flags[] = {
        {"crf", &config.crf}, {"bidirectional", &config.bidirectional}, {"lower_case", &config.lower_case}};
    Json json = json_of(file, "config");
    json.object([&](const std::string& key) {
        for (const auto& [name, value] : sizes) {
            if (key == name) return void(*value = json.size());
        }
        for (const auto& [name, value] : flags) {
            if (key == name) return void(*value = json.boolean());
        }
        key == "cell" ? void(config.cell = cell_set(json.string())) : json.skip();
    });
    json.end();
    for (const auto& [name, value] : sizes) {
        const std::int64_t least = value == &config.char_hidden_size ? 0 : value == &config.max_chars ? 2 : 1;
        if (*value < least || *value > kLargest) damaged(std::string("its setting ") + name + " is missing or out of range");
    }
    return config;
}

// The number of rows of a tensor, before a list is read that must have as many entries: a list takes much more memory than its text.
std::size_t rows_of(const ModelFile& file, const std::string& name) {
    const auto entry = file.tensors.find(name);
    const bool has_rows = entry != file.tensors.end() && !entry->second.shape.empty() && entry->second.size() > 0;
    return has_rows ? static_cast<std::size_t>(entry->second.shape[0]) : 0;
}

std::vector<std::string> strings(Json& json, std::size_t most) {
    std::vector<std::string> found;
    json.array([&] {
        if (found.size() == most) damaged("its vocabulary has more entries than its weights have rows");
        found.push_back(json.string());
    });
    return found;
}

std::unordered_map<std::string, std::size_t> read_ids(Json& json, std::size_t rows) {
    std::unordered_map<std::string, std::size_t> ids;
    json.object([&](const std::string& key) {
        if (key != "tokens") return json.skip();
        for (const std::string& token : strings(json, rows)) {
            if (!ids.emplace(token, ids.size() + kSpecial).second) damaged("a token of a vocabulary comes twice");
        }
    });
    return ids;
}

std::vector<float> read_tensor(const ModelFile& file, const std::string& name, const std::vector<std::int64_t>& shape) {
    file.tensor(name, shape);
    return restored(file, name);
}

// Finds the most probable sequence of tags with the Viterbi algorithm. `scores` is [T, K], with rows `stride` elements apart.
std::vector<std::size_t> best_path(const Tagger::Column& column, const float* scores, std::size_t T, std::size_t stride) {
    const std::size_t K = column.tags.size();
    std::vector<double> state(K), next(K);
    std::vector<std::size_t> origins(T * K), path(T);
    for (std::size_t k = 0; k < K; ++k) state[k] = static_cast<double>(column.start[k]) + scores[k];
    for (std::size_t t = 1; t < T; ++t) {
        for (std::size_t to = 0; to < K; ++to) {
            std::size_t best = 0;
            const auto way = [&](std::size_t from) { return state[from] + static_cast<double>(column.transitions[from * K + to]); };
            for (std::size_t from = 1; from < K; ++from) best = way(from) > way(best) ? from : best;
            origins[t * K + to] = best;
            next[to] = way(best) + scores[t * stride + to];
        }
        state.swap(next);
    }
    for (std::size_t k = 0; k < K; ++k) state[k] += static_cast<double>(column.end[k]);
    path[T - 1] = static_cast<std::size_t>(std::max_element(state.begin(), state.end()) - state.begin());
    for (std::size_t t = T - 1; t > 0; --t) path[t - 1] = origins[t * K + path[t]];
    return path;
}

}  // namespace

const float* Tagger::Embedding::of(const std::string& token) const {
    const auto found = ids.find(token);
    return vectors.data() + (found == ids.end() ? kUnknown : found->second) * static_cast<std::size_t>(width);
}

Tagger::Tagger(const ModelFile& file) {
    require_kind(file, "tagger");
    const Config config = read_config(file);
    Json json = json_of(file, "vocabulary");
    json.object([&](const std::string& key) {
        if (key == "words") {
            words_.ids = read_ids(json, rows_of(file, "word_embedding.weight"));
        } else if (key == "chars") {
            config.char_hidden_size ? void(characters_.ids = read_ids(json, rows_of(file, "char_embedding.weight"))) : json.skip();
        } else if (key == "tags") {
            json.object([&](const std::string& name) {
                columns_.push_back({name, strings(json, rows_of(file, "head.weight")), {}, {}, {}});
                if (columns_.back().tags.empty()) damaged("a column has no tags");
                if (columns_.size() > rows_of(file, "head.weight")) damaged("it has more columns than its weights have rows");
            });
        } else if (key == "context") {
            throw FileError("the model file holds a tagger that reads contextual word vectors, which this version does not compute");
        } else {
            json.skip();
        }
    });
    json.end();
    if (columns_.empty()) damaged("its tagger has no tags");

    const auto embed = [&file](Embedding& embedding, const std::string& name, std::int64_t width) {
        embedding.width = width;
        embedding.vectors = read_tensor(file, name, {static_cast<std::int64_t>(embedding.ids.size() + kSpecial), width});
    };
    const std::int64_t spelt = config.char_hidden_size;
    embed(words_, "word_embedding.weight", config.word_size);
    if (spelt) {
        embed(characters_, "char_embedding.weight", config.char_size);
        speller_ = Layer::read(file, "char_lstm.", checked_sizes(config.char_size, spelt, 1, true, true, 0, *config.cell));
    }
    layer_ = Layer::read(file, "lstm.", checked_sizes(config.word_size + 2 * spelt, config.hidden_size, config.num_layers, true, config.bidirectional,
                                                      0, *config.cell));
    for (Column& column : columns_) {
        const auto K = static_cast<std::int64_t>(column.tags.size());
        scores_ += K;
        if (!config.crf) continue;
        const std::string prefix = "chains." + column.name + ".";
        column.start = read_tensor(file, prefix + "start", {K});
        column.transitions = read_tensor(file, prefix + "transitions", {K, K});
        column.end = read_tensor(file, prefix + "end", {K});
    }
    const std::int64_t width = layer_->sizes.D * layer_->sizes.H;
    const std::vector<float> weight = read_tensor(file, "head.weight", {scores_, width});
    weight_.resize(weight.size());
    for (std::int64_t k = 0; k < scores_; ++k) {
        for (std::int64_t at = 0; at < width; ++at) weight_[static_cast<std::size_t>(at * scores_ + k)] = weight[static_cast<std::size_t>(k * width + at)];
    }
    bias_ = read_tensor(file, "head.bias", {scores_});
    file.finish();
    longest_ = static_cast<std::size_t>(config.max_chars), lower_case_ = config.lower_case;
}

// Writes the final states of both directions over each word's characters into rows that are `row` elements apart.
void Tagger::spell(const std::vector<std::u32string>& words, float* to, std::int64_t row) const {
    const std::size_t N = words.size(), half = longest_ / 2;
    std::vector<std::u32string> spelt(words);
    std::vector<std::int64_t> lengths;
    for (std::u32string& word : spelt) {
        if (word.size() > longest_) word.erase(half, word.size() - 2 * half);
        lengths.push_back(static_cast<std::int64_t>(word.size()));
    }
    const Sizes& sizes = speller_->sizes;
    const auto T = static_cast<std::size_t>(*std::max_element(lengths.begin(), lengths.end()));
    const auto C = static_cast<std::size_t>(sizes.C), H = static_cast<std::size_t>(sizes.H);
    std::vector<float> x(T * N * C), out(T * N * 2 * H), h(2 * N * H), c(sizes.cell->has_memory ? h.size() : 0);
    for (std::size_t n = 0; n < N; ++n) {
        for (std::size_t t = 0; t < spelt[n].size(); ++t) std::copy_n(characters_.of(encoded({&spelt[n][t], 1})), C, &x[(t * N + n) * C]);
    }
    Run run;
    run.T = static_cast<std::int64_t>(T), run.N = static_cast<std::int64_t>(N), run.x = x.data(), run.lengths = lengths.data();
    run.out = out.data(), run.h_n = h.data(), run.c_n = c.empty() ? nullptr : c.data();
    speller_->run(run);
    for (std::size_t n = 0; n < N; ++n) {
        for (std::size_t direction = 0; direction < 2; ++direction) {
            std::copy_n(&h[(direction * N + n) * H], H, to + static_cast<std::int64_t>(n) * row + static_cast<std::int64_t>(direction * H));
        }
    }
}

std::vector<const char*> Tagger::tag(const std::vector<std::u32string>& words) const {
    if (words.empty()) return {};
    const Sizes& sizes = layer_->sizes;
    const std::size_t T = words.size(), C = static_cast<std::size_t>(sizes.C), width = static_cast<std::size_t>(sizes.D * sizes.H);
    const auto of_layers = static_cast<std::size_t>(sizes.count() * sizes.H), K = static_cast<std::size_t>(scores_);
    std::vector<float> x(T * C), out(T * width), h(of_layers), c(sizes.cell->has_memory ? of_layers : 0), scores(T * K);
    for (std::size_t t = 0; t < T; ++t) {
        std::copy_n(words_.of(encoded(lower_case_ ? lower_case(words[t]) : words[t])), words_.width, &x[t * C]);
    }
    if (speller_) spell(words, x.data() + words_.width, sizes.C);
    Run run;
    run.T = static_cast<std::int64_t>(T), run.N = 1, run.x = x.data();
    run.out = out.data(), run.h_n = h.data(), run.c_n = c.empty() ? nullptr : c.data();
    layer_->run(run);
    for (std::size_t t = 0; t < T; ++t) {
        float* const to = std::copy(bias_.begin(), bias_.end(), &scores[t * K]) - K;
        for (std::size_t at = 0; at < width; ++at) {
            for (std::size_t k = 0; k < K; ++k) to[k] += out[t * width + at] * weight_[at * K + k];
        }
    }
    std::vector<const char*> tags;
    const float* first = scores.data();
    for (const Column& column : columns_) {
        const std::size_t count = column.tags.size();
        std::vector<std::size_t> path(T);
        for (std::size_t t = 0; t < T; ++t) path[t] = static_cast<std::size_t>(std::max_element(first + t * K, first + t * K + count) - (first + t * K));
        if (!column.start.empty()) path = best_path(column, first, T, K);
        for (const std::size_t k : path) tags.push_back(column.tags[k].c_str());
        first += count;
    }
    return tags;
}

}  // namespace hiddenstate::runtime
