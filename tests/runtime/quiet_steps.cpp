// Steps of a stream where everything but computing kills the process: the kernel lets it only read, write and end, and an allocation or a
// lock aborts it. Writes the last hidden state.
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "hiddenstate.h"

extern "C" void* __libc_malloc(std::size_t);
extern "C" void* __libc_memalign(std::size_t, std::size_t);

namespace {

bool quiet = false;

void refuse(const char* what) {
    if (!quiet) return;
    (void)!write(2, what, std::strlen(what));
    syscall(SYS_exit, 3);
}

}  // namespace

extern "C" void* malloc(std::size_t size) { return refuse("malloc\n"), __libc_malloc(size); }
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) { return refuse("aligned_alloc\n"), __libc_memalign(alignment, size); }

int main(int count, char** arguments) {
    hs_error error;
    hs_model* model;
    hs_stream* stream;
    if (count != 3 || hs_model_load(arguments[1], &model, &error) || hs_stream_new(model, 2, &stream, &error)) return 1;
    const bool warms = std::strcmp(arguments[2], "warm") == 0, allocates = std::strcmp(arguments[2], "allocate") == 0;
    const hs_sizes sizes = hs_model_sizes(model);
    std::vector<float> x(static_cast<std::size_t>(2 * sizes.input_size), 0.5F), out(static_cast<std::size_t>(2 * sizes.output_size));
    const int64_t rows[] = {1};
    if (warms) hs_stream_step(stream, x.data(), out.data());
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) return 1;
    quiet = true;
    if (allocates) std::free(std::malloc(100));  // so that a test sees that it would be noticed
    for (int k = 0; k < 1000; ++k) {
        if (hs_stream_step(stream, x.data(), out.data()) || hs_stream_step_rows(stream, rows, 1, x.data(), out.data())) syscall(SYS_exit, 4);
    }
    hs_stream_reset(stream, rows, 1);
    (void)!write(1, out.data(), out.size() * sizeof(float));
    syscall(SYS_exit, 0);
}
