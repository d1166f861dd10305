// Writes each line of standard input in lower case; a line that is not UTF-8 as "?".
#include <iostream>

#include "runtime/text.h"

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        const auto text = hiddenstate::runtime::decoded(line);
        std::cout << (text ? hiddenstate::runtime::encoded(hiddenstate::runtime::lower_case(*text)) : "?") << '\n';
    }
}
