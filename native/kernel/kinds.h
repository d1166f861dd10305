// The kinds of cells, in the order of cells/kinds.py, and the values of a step that edits can change. CMakeLists.txt and
// runtime/js/build.py read the table below, too.
#pragma once

#include <cstdint>
#include <string>

namespace hiddenstate {

// Of each kind: its name in files of layers, its name here, the header of its equations, the instruction sets that it is compiled for, its
// name in the settings of models, the order of its gates, how many values of a unit are recorded, and whether it has a cell state besides
// the hidden state. Plain RNNs have fewer products: a few sets are enough, and none for int8.
#define HIDDENSTATE_KINDS(X)                                    \
    X(LSTM, lstm, lstm, every, "lstm", "i f g o", 4, true)      \
    X(GRU, gru, gru, every, "gru", "r z n", 4, false)           \
    X(RNN_TANH, rnn_tanh, rnn, few, "rnn", "h", 1, false)       \
    X(RNN_RELU, rnn_relu, rnn, few, "rnn_relu", "h", 1, false)

#define HIDDENSTATE_KIND(name, kind, ...) kind,
enum class CellKind { HIDDENSTATE_KINDS(HIDDENSTATE_KIND) };
#undef HIDDENSTATE_KIND

struct Cell {
    CellKind kind;
    const char *name, *id, *setting, *order;
    std::int64_t gates, record;
    bool has_memory;
};
#define HIDDENSTATE_CELL_OF(name, kind, header, sets, setting, order, record, memory) \
    {CellKind::kind, #name, #kind, setting, order, sizeof(order) / 2, record, memory},
inline constexpr Cell kCells[] = {HIDDENSTATE_KINDS(HIDDENSTATE_CELL_OF)};  // inline: one array, whose cells can be compared by address
#undef HIDDENSTATE_CELL_OF

// Null if there is no such cell.
inline const Cell* cell_named(const std::string& name) {
    for (const Cell& cell : kCells) {
        if (name == cell.name) return &cell;
    }
    return nullptr;
}

// A pre-activation, a gate or a state of a step; the last one is h.
using Place = int;
enum LstmPlace : Place { kIPre, kFPre, kGPre, kOPre, kI, kF, kG, kO, kC, kH };
enum GruPlace : Place { kRPre, kZPre, kNPre, kNH, kNRH, kR, kZ, kN, kGruH };
enum RnnPlace : Place { kHPre, kRnnH };

}  // namespace hiddenstate
