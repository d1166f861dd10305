/* Steps of a stream, some of whose rows begin again: `reset_rows MODEL ROWS AT ROW... < in > out`. Before step AT the named rows are
 * reset; resets that name no rows of the stream are refused, and change nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "hiddenstate.h"

static int refuses_others(hs_stream *stream, int64_t rows) {
    const int64_t twice[] = {0, 0}, past[] = {rows}, before[] = {-1};
    return hs_stream_reset(stream, twice, 2) == HS_ARGUMENT && hs_stream_reset(stream, past, 1) == HS_ARGUMENT &&
           hs_stream_reset(stream, before, 1) == HS_ARGUMENT && hs_stream_reset(stream, before, -1) == HS_ARGUMENT &&
           hs_stream_reset(NULL, NULL, 0) == HS_ARGUMENT && hs_stream_reset(stream, past, 0) == HS_OK;
}

int main(int count, char **arguments) {
    hs_error error;
    hs_model *model;
    hs_stream *stream;
    int64_t chosen[8];
    if (count < 4 || count > 12) return 2;
    const int64_t rows = atoll(arguments[2]), at = atoll(arguments[3]);
    if (hs_model_load(arguments[1], &model, &error) || hs_stream_new(model, rows, &stream, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    const hs_sizes sizes = hs_model_sizes(model);
    const size_t reads = (size_t)(rows * sizes.input_size), writes = (size_t)(rows * sizes.output_size);
    float *x = malloc(reads * sizeof *x), *out = malloc(writes * sizeof *out);
    if (!x || !out) return 1;
    for (int k = 4; k < count; ++k) chosen[k - 4] = atoll(arguments[k]);
    for (int64_t t = 0; fread(x, sizeof *x, reads, stdin) == reads; ++t) {
        if (t == at && (!refuses_others(stream, rows) || hs_stream_reset(stream, count > 4 ? chosen : NULL, count - 4))) return 3;
        hs_stream_step(stream, x, out);
        fwrite(out, sizeof *out, writes, stdout);
    }
    free(x), free(out);
    hs_stream_free(stream), hs_model_free(model);
    return 0;
}
