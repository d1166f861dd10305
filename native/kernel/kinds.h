// What a kernel must know about a kind of cell besides its equations: how many numbers of each sort a unit has.
#pragma once

#include "kernel/edits.h"

namespace hiddenstate {
namespace {

namespace lstm {
constexpr int kGates = 4;         // rows of a unit in W_ih and W_hh
constexpr int kAcross = 1;        // vectors of units of a packed block: enough to fill the registers of a tile with sums
constexpr bool kApart = false;    // whether the last gate's part of the state is summed apart from its part of the input
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // numbers of a record, which are called gates
constexpr int kSlopes = 4;        // gradients of pre-activations: those of W_ih x come first
constexpr int kRecurrent = 0;     // the first of those for W_hh h
constexpr bool kMemory = true;    // whether there is a cell state beside the hidden state
constexpr bool kDirect = false;   // whether the hidden state also reaches the next one without W_hh
constexpr Place kOutput = kH;
}  // namespace lstm

namespace gru {
constexpr int kGates = 3;         // r, z, n
constexpr int kAcross = 1;
constexpr bool kApart = true;     // n = tanh(n_x + r n_h)
constexpr int kSums = kGates + kApart;
constexpr int kRecord = 4;        // r, z, n, n_h
constexpr int kSlopes = 6;        // of r, z, n_x; of r, z, n_h
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

// The kind that this scan is compiled for.
#ifndef HIDDENSTATE_CELL
#define HIDDENSTATE_CELL lstm
#endif
using namespace HIDDENSTATE_CELL;

}  // namespace
}  // namespace hiddenstate
