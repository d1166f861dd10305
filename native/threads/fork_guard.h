// Whether this process was forked from one that had loaded the engine: the threads of a pool do not come along, and who
// asks the pool for them waits for ever.
#pragma once

namespace hiddenstate {

bool forked();

}  // namespace hiddenstate
