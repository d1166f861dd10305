#include "threads/parallel.h"

#include "threads/fork_guard.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace hiddenstate {

// Threads that have finished wait for the others at our own barrier, because OpenMP's barrier spins for milliseconds, on a core that another
// thread may need if another program is running.
bool run_on_threads(int threads, bool together, void (*body)(const void* context, int k), const void* context) {
#ifdef _OPENMP
    if (threads > 1 && !forked()) {
        bool enough = true;
        Barrier done;
#pragma omp parallel num_threads(threads)
        {
            const int started = omp_get_num_threads();
            if (together && started < threads) {
#pragma omp single
                enough = false;
            } else {
                for (int k = omp_get_thread_num(); k < threads; k += started) body(context, k);
                done.wait(started);
            }
        }
        return enough;
    }
#endif
    if (together && threads > 1) return false;
    for (int k = 0; k < threads; ++k) body(context, k);
    return true;
}

}  // namespace hiddenstate
