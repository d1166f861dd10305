// The kind of cell that this scan is compiled for: kernel/lstm.h, say, which has its constants, its equations and the edits of a step.
#pragma once

#ifndef HIDDENSTATE_CELL
#define HIDDENSTATE_CELL lstm
#endif
#define HIDDENSTATE_HEADER_(path) #path
#define HIDDENSTATE_HEADER(path) HIDDENSTATE_HEADER_(path)
#include HIDDENSTATE_HEADER(kernel/HIDDENSTATE_CELL.h)

namespace hiddenstate {
namespace {

using namespace HIDDENSTATE_CELL;

}  // namespace
}  // namespace hiddenstate
