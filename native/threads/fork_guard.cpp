#include "threads/fork_guard.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace hiddenstate {
namespace {

bool is_child = false;

#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] { is_child = true; });
#endif

}  // namespace

bool forked() { return is_child; }

}  // namespace hiddenstate
