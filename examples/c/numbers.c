/* Reads numbers from standard input, C a line, and writes the hidden state after each: `numbers model.safetensors < in > out`. */
#include <stdio.h>
#include <stdlib.h>

#include "hiddenstate.h"

static int read_line(float *x, int64_t count) {
    for (int64_t k = 0; k < count; ++k) {
        if (scanf("%f", &x[k]) != 1) return 0;
    }
    return 1;
}

int main(int count, char **arguments) {
    hs_error error;
    hs_model *model;
    hs_stream *stream;
    if (count != 2) return fprintf(stderr, "usage: numbers MODEL < IN > OUT\n"), 2;
    if (hs_model_load(arguments[1], &model, &error) != HS_OK || hs_stream_new(model, 1, &stream, &error) != HS_OK) {
        return fprintf(stderr, "%s\n", error.message), 1;
    }
    const hs_sizes sizes = hs_model_sizes(model);
    float *x = malloc(sizeof(float) * (size_t)sizes.input_size), *out = malloc(sizeof(float) * (size_t)sizes.output_size);
    if (!x || !out) return fprintf(stderr, "there is not enough memory\n"), 1;
    while (read_line(x, sizes.input_size)) {
        hs_stream_step(stream, x, out);
        for (int64_t k = 0; k < sizes.output_size; ++k) printf("%.9g%c", (double)out[k], k + 1 < sizes.output_size ? ' ' : '\n');
    }
    free(x), free(out);
    hs_stream_free(stream), hs_model_free(model);
    return 0;
}
