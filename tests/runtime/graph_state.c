/* Goes on from a stream's saved states, takes steps of ones, and saves the state: graph_state FILE ROWS STEPS TO [FROM...]. Prints a line for each
 * FROM: "loaded", or why it was refused. */
#include <stdio.h>
#include <stdlib.h>

#include "hiddenstate.h"

#define MOST 4

int main(int count, char **words)
{
    hs_error error = {""};
    hs_graph *graph;
    hs_graph_stream *stream;
    hs_array array;
    const void *in[MOST];
    float *out[MOST];
    const int64_t rows = atoi(words[2]);
    int k, n, step, failed;
    if (count < 5 || hs_graph_load(words[1], &graph, &error) || hs_graph_stream_new(graph, rows, &stream, &error)) return 2;
    for (k = 5; k < count; ++k) puts(hs_graph_stream_load(stream, words[k], &error) == HS_OK ? "loaded" : error.message);
    for (k = 0; hs_graph_input(graph, k, &array) == HS_OK; ++k) {
        const int64_t size = hs_array_size(&array, 1, rows);
        int64_t *whole = malloc((size_t)size * sizeof *whole);
        float *ones = (float *)(void *)whole;
        for (n = 0; n < size; ++n) array.is_integer ? (void)(whole[n] = 1) : (void)(ones[n] = 1.0F);
        in[k] = whole;
    }
    for (n = 0; hs_graph_output(graph, n, &array) == HS_OK; ++n) out[n] = malloc((size_t)hs_array_size(&array, 1, rows) * sizeof(float));
    for (step = 0; step < atoi(words[3]); ++step) {
        if (hs_graph_stream_step(stream, NULL, 0, in, out, &error)) return 3;
    }
    failed = hs_graph_stream_save(stream, words[4], &error) != HS_OK;
    if (failed) puts(error.message);
    while (k-- > 0) free((void *)(size_t)in[k]);
    while (n-- > 0) free(out[n]);
    hs_graph_stream_free(stream);
    hs_graph_free(graph);
    return failed ? 4 : 0;
}
