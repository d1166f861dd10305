/* hiddenstate in C: runs an LSTM, GRU, plain RNN or tagger from a model file; layers can also run one step at a time. C99; needs no other
 * library.
 *
 *     hs_error error;
 *     hs_model *model;
 *     hs_stream *stream;
 *     if (hs_model_load("model.safetensors", &model, &error) != HS_OK) { puts(error.message); return 1; }
 *     if (hs_stream_new(model, 1, &stream, &error) != HS_OK) { puts(error.message); return 1; }
 *     while (next(x)) hs_stream_step(stream, x, out);
 *     hs_stream_free(stream);
 *     hs_model_free(model);
 *
 * Symbols: C input features, H units, a hidden state of size P (H without a projection), L layers with D directions, T time steps, and N
 * rows (sequences that run side by side). Arrays are float, row-major and contiguous; they are only accessed during the call. They are
 * time first even if the layer was saved with batch_first=True, for which hs_model_metadata(model, "batch_first") returns "1".
 *
 * A GRU has no cell state: c is NULL in every call, and its gates are r, z, n and n_h, the recurrent part of n before it is multiplied by
 * r. A plain RNN has no cell state either, and its only gate is h.
 *
 * Threads: models and taggers are immutable, so threads may share them. A stream may be used by only one thread at a time: if two
 * calls overlap, the later one returns HS_ARGUMENT and changes nothing. Freeing a stream or a model must not overlap with its use.
 */
#ifndef HIDDENSTATE_H
#define HIDDENSTATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) && defined(HIDDENSTATE_SHARED)
#define HS_API __declspec(dllimport)
#elif defined(__GNUC__)
#define HS_API __attribute__((visibility("default")))
#else
#define HS_API
#endif

/* The version of this interface. It increases when anything that programs may use is changed or removed. */
#define HS_INTERFACE 1

typedef enum hs_status {
    HS_OK = 0,
    HS_ARGUMENT = 1,    /* an argument is out of range, or is NULL but must not be */
    HS_FILE = 2,        /* a file can't be read or written, or is not what is expected */
    HS_MEMORY = 3,      /* memory ran out */
    HS_UNSUPPORTED = 4  /* the model does not support the operation */
} hs_status;

/* A description of what went wrong. Functions that take an error also accept NULL. */
typedef struct hs_error {
    char message[256];
} hs_error;

typedef struct hs_model hs_model;
typedef struct hs_stream hs_stream;
typedef struct hs_tagger hs_tagger;

typedef struct hs_sizes {
    int64_t input_size;  /* C */
    int64_t hidden_size; /* H */
    int64_t output_size; /* P */
    int64_t layers;      /* L */
    int64_t directions;  /* D */
} hs_sizes;

/* The library's HS_INTERFACE, to compare with the header's. */
HS_API int hs_interface(void);

/* Reads a model from a file, or from memory, which may be freed afterwards. Like every function that creates something, it sets the
 * result to NULL if it fails. */
HS_API hs_status hs_model_load(const char *path, hs_model **model, hs_error *error);
HS_API hs_status hs_model_load_memory(const void *bytes, size_t size, hs_model **model, hs_error *error);
/* Frees a model; its streams remain valid. NULL is allowed, as with free(). */
HS_API void hs_model_free(hs_model *model);
HS_API hs_sizes hs_model_sizes(const hs_model *model);
/* An entry of the file's metadata, such as "kind"; NULL if there is none. It is valid as long as the model. */
HS_API const char *hs_model_metadata(const hs_model *model, const char *name);

/* Runs all layers over a sequence on one thread: x [T, N, C] to out [T, N, D * P].
 * state_h [L * D, N, P] and state_c [L * D, N, H] hold the initial states and receive the final ones; both may be NULL, in which case the
 * states start at zero. lengths [N], or NULL: the number of steps of each row, 0 to T. Past a row's end, its output is zero and its state
 * does not change. */
HS_API hs_status hs_run(const hs_model *model, int64_t steps, int64_t rows, const float *x, const int64_t *lengths, float *state_h,
                        float *state_c, float *out, hs_error *error);
/* Like hs_run, but also records the layers' values: gates [L * D, T, N, 4, H] in the order i, f, g, o; cells [L * D, T, N, H]; hidden [L,
 * T, N, D * P]. Each may be NULL. */
HS_API hs_status hs_trace(const hs_model *model, int64_t steps, int64_t rows, const float *x, const int64_t *lengths, float *state_h,
                          float *state_c, float *out, float *gates, float *cells, float *hidden, hs_error *error);

/* Creates a stream of N rows, whose states start at zero. Returns HS_UNSUPPORTED for a bidirectional model, which can't be streamed. */
HS_API hs_status hs_stream_new(const hs_model *model, int64_t rows, hs_stream **stream, hs_error *error);
HS_API void hs_stream_free(hs_stream *stream);

/* Runs one step of all rows: x [N, C] to out [N, P].
 * It allocates nothing, takes no lock, starts no thread and makes no system call, so an audio callback may call it. There are two
 * exceptions: a model with a projection (P < H) allocates, and so does a step with int8 weights that is larger (in rows, features or
 * units) than all earlier ones of its thread. */
HS_API hs_status hs_stream_step(hs_stream *stream, const float *x, float *out);
/* Runs one step of `count` distinct rows: x [count, C] to out [count, P]. The states of other rows do not change. */
HS_API hs_status hs_stream_step_rows(hs_stream *stream, const int64_t *rows, int64_t count, const float *x, float *out);
/* Runs T steps of all rows, faster than one at a time: x [T, N, C] to out [T, N, P]. It allocates memory. If it fails, no state changes. */
HS_API hs_status hs_stream_feed(hs_stream *stream, int64_t steps, const float *x, float *out, hs_error *error);
/* Like hs_stream_feed, but also records values as hs_trace does. Tracing a single step gives its gates. */
HS_API hs_status hs_stream_trace(hs_stream *stream, int64_t steps, const float *x, float *out, float *gates, float *cells, float *hidden,
                                 hs_error *error);
/* Sets the states of `count` rows to zero, or those of all rows if rows is NULL. */
HS_API hs_status hs_stream_reset(hs_stream *stream, const int64_t *rows, int64_t count);
/* The states: h [L, N, P] and c [L, N, H]. */
HS_API hs_status hs_stream_get_state(const hs_stream *stream, float *h, float *c);
HS_API hs_status hs_stream_set_state(hs_stream *stream, const float *h, const float *c);

/* Reads a tagger from a file or from memory, as hs_model_load does for layers. */
HS_API hs_status hs_tagger_load(const char *path, hs_tagger **tagger, hs_error *error);
HS_API hs_status hs_tagger_load_memory(const void *bytes, size_t size, hs_tagger **tagger, hs_error *error);
HS_API void hs_tagger_free(hs_tagger *tagger);
/* The name of a column of tags, such as "upos"; NULL if there are no more. */
HS_API const char *hs_tagger_column(const hs_tagger *tagger, int64_t column);
/* Tags the words of a sentence, each in UTF-8. Writes tags [columns, count], strings that the tagger owns. Any number of threads may call
 * it. */
HS_API hs_status hs_tagger_tag(const hs_tagger *tagger, const char *const *words, int64_t count, const char **tags, hs_error *error);

/* Whole models, which hiddenstate.save(model, path, args=...) writes: a graph of operations around recurrent layers.
 *
 *     hs_graph_stream_new(graph, 1, &stream, &error);
 *     const void *inputs[] = {x};
 *     float *outputs[] = {y};
 *     while (next(x)) hs_graph_stream_step(stream, NULL, 0, inputs, outputs, &error);
 *
 * Inputs are arrays of float, or of int64_t if they are integers (indices of an embedding); outputs are float. Their axes are in the order
 * of the module's. Graphs are immutable, so threads may share them; a stream may be used by only one thread at a time, as above. */
typedef struct hs_graph hs_graph;
typedef struct hs_graph_stream hs_graph_stream;

#define HS_ROWS (-1)       /* an axis of rows, N */
#define HS_STEPS (-2)      /* an axis of time steps, T; of size 1 in a single step */
#define HS_ROWS_STEPS (-3) /* both as one axis of size N * T */
#define HS_STEPS_ROWS (-4)

typedef struct hs_array {
    const char *name; /* of an input, as long as the graph; "" for an output */
    int is_integer;
    int rank;
    int64_t sizes[8]; /* of the axes, or one of the above */
} hs_array;

HS_API hs_status hs_graph_load(const char *path, hs_graph **graph, hs_error *error);
HS_API hs_status hs_graph_load_memory(const void *bytes, size_t size, hs_graph **graph, hs_error *error);
HS_API void hs_graph_free(hs_graph *graph);
/* Describes an input or output; HS_ARGUMENT if there are no more. */
HS_API hs_status hs_graph_input(const hs_graph *graph, int64_t input, hs_array *array);
HS_API hs_status hs_graph_output(const hs_graph *graph, int64_t output, hs_array *array);
/* The number of elements in an array of so many steps and rows. */
HS_API int64_t hs_array_size(const hs_array *array, int64_t steps, int64_t rows);

/* Runs over whole sequences. */
HS_API hs_status hs_graph_run(const hs_graph *graph, int64_t steps, int64_t rows, const void *const *inputs, float *const *outputs,
                              hs_error *error);

/* Creates a stream, which carries the states of layers and the last inputs of causal convolutions. HS_UNSUPPORTED: the model needs later
 * steps. A stream stays valid when its graph is freed. */
HS_API hs_status hs_graph_stream_new(const hs_graph *graph, int64_t rows, hs_graph_stream **stream, hs_error *error);
HS_API void hs_graph_stream_free(hs_graph_stream *stream);
/* Creates a second stream that goes on from the same states. */
HS_API hs_status hs_graph_stream_fork(const hs_graph_stream *stream, hs_graph_stream **other, hs_error *error);
/* Runs one step of `count` distinct rows, or of all rows if rows is NULL. If it fails, no state changes.
 * It allocates nothing, with the exceptions of hs_stream_step and that of bidirectional layers, which run over other axes than time. */
HS_API hs_status hs_graph_stream_step(hs_graph_stream *stream, const int64_t *rows, int64_t count, const void *const *inputs,
                                      float *const *outputs, hs_error *error);
/* Runs several steps of all rows, with the results of single ones. If it fails, no state changes. */
HS_API hs_status hs_graph_stream_feed(hs_graph_stream *stream, int64_t steps, const void *const *inputs, float *const *outputs,
                                      hs_error *error);
/* Sets `count` rows, or all if rows is NULL, to what a sequence begins with. */
HS_API hs_status hs_graph_stream_reset(hs_graph_stream *stream, const int64_t *rows, int64_t count);
/* What one row carries, in so many floats, which another row or stream of the same file can go on from, now or later. */
HS_API int64_t hs_graph_stream_state_size(const hs_graph_stream *stream);
HS_API hs_status hs_graph_stream_get_state(const hs_graph_stream *stream, int64_t row, float *state);
HS_API hs_status hs_graph_stream_set_state(hs_graph_stream *stream, int64_t row, const float *state);
/* Writes what all rows carry to a file, which is replaced only by a whole one; or goes on from such a file, in a stream of the same model file
 * and as many rows. Streams in Python and JavaScript write and read the same files. If loading fails, no state changes. */
HS_API hs_status hs_graph_stream_save(const hs_graph_stream *stream, const char *path, hs_error *error);
HS_API hs_status hs_graph_stream_load(hs_graph_stream *stream, const char *path, hs_error *error);

#ifdef __cplusplus
}
#endif

#endif
