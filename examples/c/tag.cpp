// Tags words: a sentence a line, its words separated by blanks; out come their tags, those of several columns as NOUN|NN.
//
//     hiddenstate export tagger-en -o tagger.safetensors
//     echo "Giraffes in a field" | tag tagger.safetensors
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "hiddenstate.h"

int main(int count, char** arguments) {
    hs_error error;
    hs_tagger* tagger;
    if (count != 2) return std::cerr << "usage: tag MODEL < IN > OUT\n", 2;
    if (hs_tagger_load(arguments[1], &tagger, &error) != HS_OK) return std::cerr << error.message << '\n', 1;
    std::size_t columns = 0;
    while (hs_tagger_column(tagger, static_cast<int64_t>(columns))) ++columns;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream split(line);
        std::vector<std::string> words;
        for (std::string word; split >> word;) words.push_back(word);
        std::vector<const char*> texts, tags(columns * words.size());
        for (const std::string& word : words) texts.push_back(word.c_str());
        if (hs_tagger_tag(tagger, texts.data(), static_cast<int64_t>(words.size()), tags.data(), &error) != HS_OK) {
            return std::cerr << error.message << '\n', 1;
        }
        for (std::size_t k = 0; k < words.size(); ++k) {
            std::cout << (k ? " " : "") << tags[k];
            for (std::size_t column = 1; column < columns; ++column) std::cout << '|' << tags[column * words.size() + k];
        }
        std::cout << '\n';
    }
    hs_tagger_free(tagger);
    return 0;
}
