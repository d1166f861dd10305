/* One of deployment.py's processes: step FOLDER STEPS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hiddenstate.h"

#define SIZE 128

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* In KiB. The kernel's ru_maxrss would include the process that started this one. */
static long largest_memory(void) {
    char line[256];
    long found = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, "VmHWM:", 6) == 0) found = atol(line + 6);
    }
    if (status) fclose(status);
    return found;
}

int main(int count, char **arguments) {
    hs_error error;
    hs_model *model;
    hs_stream *stream;
    char path[4096];
    float x[SIZE], out[SIZE];
    if (count != 3) return 2;
    snprintf(path, sizeof path, "%s/m.safetensors", arguments[1]);
    if (hs_model_load(path, &model, &error) || hs_stream_new(model, 1, &stream, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    for (int k = 0; k < SIZE; ++k) x[k] = 0.5F;
    hs_stream_step(stream, x, out);
    printf("out=");
    for (int k = 0; k < SIZE; ++k) printf("%.9g%c", (double)out[k], k + 1 < SIZE ? ' ' : '\n');
    printf("start=%.6f\n", seconds(CLOCK_PROCESS_CPUTIME_ID));
    double least = 1e9;
    for (int k = atoi(arguments[2]); k > 0; --k) {
        const double begin = seconds(CLOCK_MONOTONIC);
        hs_stream_step(stream, x, out);
        const double time = seconds(CLOCK_MONOTONIC) - begin;
        if (time < least) least = time;
    }
    printf("step=%.9f\nmemory=%ld\n", least, 1024 * largest_memory());
    hs_stream_free(stream), hs_model_free(model);
    return 0;
}
