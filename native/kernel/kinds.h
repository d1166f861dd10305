// The kinds of cells, and the values of a step that edits can change, numbered in the order of cells/kinds.py.
#pragma once

namespace hiddenstate {

enum class CellKind { lstm, gru };  // the plain RNNs have tables of scans of their own: scan.h

// A pre-activation, a gate or a state of a step.
using Place = int;
enum LstmPlace : Place { kIPre, kFPre, kGPre, kOPre, kI, kF, kG, kO, kC, kH };
enum GruPlace : Place { kRPre, kZPre, kNPre, kNH, kNRH, kR, kZ, kN, kGruH };
enum RnnPlace : Place { kHPre, kRnnH };

}  // namespace hiddenstate
