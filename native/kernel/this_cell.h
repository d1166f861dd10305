// The kind of cell that this scan is compiled for: kernel/lstm.h, say, which has its constants, its equations and the edits of a step.
#pragma once

#ifndef HIDDENSTATE_CELL
#define HIDDENSTATE_CELL lstm
#endif
#define HIDDENSTATE_TEXT_(a) #a
#define HIDDENSTATE_TEXT(a) HIDDENSTATE_TEXT_(a)
#include HIDDENSTATE_TEXT(kernel/HIDDENSTATE_CELL.h)

namespace hiddenstate {
namespace {

using namespace HIDDENSTATE_CELL;

}  // namespace
}  // namespace hiddenstate
