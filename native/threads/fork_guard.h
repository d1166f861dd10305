// Tells whether this process was forked from one that had loaded the engine. The threads of a pool do not exist in the child,
// so a call that asks the pool for them would wait for ever.
#pragma once

namespace hiddenstate {

bool forked();

}  // namespace hiddenstate
