/* Runs a whole model: run_graph FILE STEPS ROWS [CHUNK...]. Reads its inputs, one after another, as floats from the standard input, and writes
 * the outputs, one after another: of the whole, or of each chunk of a stream, or with chunks of 0 of single steps of its rows, backwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hiddenstate.h"

#define MOST 16

static hs_array inputs[MOST], outputs[MOST];
static int64_t input_count, output_count;

static void check(hs_status status, const hs_error *error)
{
    if (status == HS_OK) return;
    printf("%d %s\n", (int)status, error->message);
    exit(0);
}

/* Steps from .. from + steps, and rows row .. row + rows, of an input of so many steps and rows; of another type if it is integers. */
static void *part(const float *x, const hs_array *a, int64_t T, int64_t N, int64_t from, int64_t steps, int64_t row, int64_t rows)
{
    int64_t size = hs_array_size(a, steps, rows), k, whole;
    char *to = malloc((size_t)size * 8);
    for (k = whole = 0; whole < hs_array_size(a, T, N); ++whole) {
        int64_t rest = whole, inside = 1, axis;
        for (axis = a->rank; axis-- > 0;) {
            const int64_t n = a->sizes[axis] == HS_ROWS ? N : a->sizes[axis] == HS_STEPS ? T : a->sizes[axis], index = rest % n;
            rest /= n;
            if (a->sizes[axis] == HS_STEPS) inside &= index >= from && index < from + steps;
            if (a->sizes[axis] == HS_ROWS) inside &= index >= row && index < row + rows;
        }
        if (!inside) continue;
        if (a->is_integer) ((int64_t *)(void *)to)[k++] = (int64_t)x[whole];
        else ((float *)(void *)to)[k++] = x[whole];
    }
    return to;
}

/* Whether what fails leaves NULL, which may be freed. */
static int leaves_null(void)
{
    hs_graph *graph = (hs_graph *)(void *)&output_count;
    hs_graph_stream *stream = (hs_graph_stream *)(void *)graph, *other = stream;
    const int failed = hs_graph_load(NULL, &graph, NULL) && hs_graph_stream_new(graph, 1, &stream, NULL) &&
                       hs_graph_stream_fork(stream, &other, NULL);
    return failed && !graph && !stream && !other;
}

int main(int count, char **words)
{
    hs_error error = {""};
    hs_graph *graph;
    hs_graph_stream *stream = NULL;
    const int64_t T = atoi(words[2]), N = atoi(words[3]);
    float *x[MOST];
    int64_t k, at = 0;
    int chunk;
    if (!leaves_null()) return 3;
    check(hs_graph_load(words[1], &graph, &error), &error);
    while (hs_graph_input(graph, input_count, &inputs[input_count]) == HS_OK) ++input_count;
    while (hs_graph_output(graph, output_count, &outputs[output_count]) == HS_OK) ++output_count;
    for (k = 0; k < input_count; ++k) {
        const size_t size = (size_t)hs_array_size(&inputs[k], T, N);
        x[k] = malloc(size * sizeof(float));
        if (fread(x[k], sizeof(float), size, stdin) != size) return 2;
    }
    if (count > 4) check(hs_graph_stream_new(graph, N, &stream, &error), &error);
    if (stream) hs_graph_free(graph), graph = NULL;
    for (chunk = 4; chunk < (count > 4 ? count : 5); ++chunk) {
        const int64_t length = count > 4 ? atoi(words[chunk]) : T, steps = length ? length : 1, rows = length ? N : 1;
        int64_t row;
        for (row = N - rows; row >= 0; row -= rows) {
            void *in[MOST];
            float *out[MOST];
            for (k = 0; k < input_count; ++k) in[k] = part(x[k], &inputs[k], T, N, at, steps, row, rows);
            for (k = 0; k < output_count; ++k) out[k] = malloc((size_t)hs_array_size(&outputs[k], steps, rows) * sizeof(float));
            if (!stream) check(hs_graph_run(graph, steps, N, (const void *const *)in, out, &error), &error);
            else if (length) check(hs_graph_stream_feed(stream, steps, (const void *const *)in, out, &error), &error);
            else check(hs_graph_stream_step(stream, &row, 1, (const void *const *)in, out, &error), &error);
            for (k = 0; k < output_count; ++k) {
                fwrite(out[k], sizeof(float), (size_t)hs_array_size(&outputs[k], steps, rows), stdout);
                free(out[k]);
            }
            for (k = 0; k < input_count; ++k) free(in[k]);
        }
        at += steps;
    }
    for (k = 0; k < input_count; ++k) free(x[k]);
    hs_graph_stream_free(stream);
    hs_graph_free(graph);
    return 0;
}
