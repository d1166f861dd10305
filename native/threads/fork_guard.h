// Detects whether this process was forked from one that had loaded the engine. A pool's threads do not exist in the child, so a call that
// used the pool would wait for ever.
#pragma once

namespace hiddenstate {

bool forked();

}  // namespace hiddenstate
