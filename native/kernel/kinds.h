// The properties of each kind of cell that a kernel needs besides its equations: how many values of each sort a unit has.
#pragma once

#include "kernel/edits.h"

namespace hiddenstate {
namespace {

namespace lstm {
constexpr int kGates = 4;         // rows per unit in W_ih and W_hh
constexpr int kAcross = 1;        // vectors of units in a packed block: enough to fill the registers of a tile with sums
constexpr bool kApart = false;    // whether the last gate's recurrent part and input part are summed separately
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // values per unit in a record; they are called gates
constexpr int kSlopes = 4;        // gradients of pre-activations per unit; those for W_ih x come first
constexpr int kRecurrent = 0;     // the index of the first gradient for W_hh h
constexpr bool kMemory = true;    // whether there is a cell state besides the hidden state
constexpr bool kDirect = false;   // whether the hidden state also affects the next one directly, without W_hh
constexpr Place kOutput = kH;
}  // namespace lstm

namespace gru {
constexpr int kGates = 3;         // r, z, n
constexpr int kAcross = 1;
constexpr bool kApart = true;     // n = tanh(n_x + r n_h)
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // r, z, n, n_h
constexpr int kSlopes = 6;        // for r, z, n_x and for r, z, n_h
constexpr int kRecurrent = 3;
constexpr bool kMemory = false;
constexpr bool kDirect = true;
constexpr Place kOutput = kGruH;
}  // namespace gru

namespace rnn {
constexpr int kGates = 1;         // h itself
constexpr int kAcross = 4;
constexpr bool kApart = false;
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 1;        // h before edits
constexpr int kSlopes = 1;
constexpr int kRecurrent = 0;
constexpr bool kMemory = false;
constexpr bool kDirect = false;
constexpr Place kOutput = kRnnH;
}  // namespace rnn

// The kind of cell that this scan is compiled for.
#ifndef HIDDENSTATE_CELL
#define HIDDENSTATE_CELL lstm
#endif
using namespace HIDDENSTATE_CELL;

}  // namespace
}  // namespace hiddenstate
