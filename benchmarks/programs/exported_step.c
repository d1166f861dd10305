/* A step of an exported C file and of the C library's stream, on the same inputs, in turns: medians in microseconds, and how far apart their
 * results are. Compiled with IN and OUT, the sizes of input and output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hiddenstate.h"
#define MODEL_DECLARATIONS
#include "model.c"

#define STEPS 100
#define TURNS 1001

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **arguments)
{
    static float x[STEPS][IN], library_out[OUT], file_out[OUT];
    static double library_times[TURNS], file_times[TURNS];
    static model_state state;
    hs_error error;
    hs_graph *graph;
    hs_graph_stream *stream;
    if (count != 2 || hs_graph_load(arguments[1], &graph, &error) || hs_graph_stream_new(graph, 1, &stream, &error)) return 1;
    for (int t = 0; t < STEPS; ++t)
        for (int k = 0; k < IN; ++k) x[t][k] = 2 * (float)rand() / (float)RAND_MAX - 1;
    model_init(&state);
    float apart = 0;
    for (int turn = 0; turn < TURNS; ++turn) {
        const double begin = microseconds();
        for (int t = 0; t < STEPS; ++t) {
            const void *inputs[] = {x[t]};
            float *outputs[] = {library_out};
            if (hs_graph_stream_step(stream, NULL, 0, inputs, outputs, &error)) return 2;
        }
        const double middle = microseconds();
        for (int t = 0; t < STEPS; ++t) model_step(&state, x[t], file_out);
        library_times[turn] = (middle - begin) / STEPS;
        file_times[turn] = (microseconds() - middle) / STEPS;
        for (int k = 0; k < OUT; ++k) apart = fmaxf(apart, fabsf(library_out[k] - file_out[k]));
    }
    qsort(library_times, TURNS, sizeof(double), compare);
    qsort(file_times, TURNS, sizeof(double), compare);
    printf("%.2f %.2f %.1e\n", library_times[TURNS / 2], file_times[TURNS / 2], (double)apart);
    hs_graph_stream_free(stream);
    hs_graph_free(graph);
    return 0;
}
