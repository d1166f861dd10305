// Implements hiddenstate.h: checks arguments, and turns exceptions into status codes.
#include "runtime/hiddenstate.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph.h"
#include "runtime/model.h"
#include "runtime/tagger.h"
#include "runtime/text.h"

namespace runtime = hiddenstate::runtime;

struct hs_model {
    std::shared_ptr<const runtime::Layer> layer;
    std::map<std::string, std::string> metadata;
};

struct hs_stream {
    std::unique_ptr<runtime::Stream> stream;
    std::vector<bool> taken;  // one entry per row, to detect duplicates
    mutable std::atomic<bool> is_running{false};
};

struct hs_tagger {
    runtime::Tagger tagger;
};

struct hs_graph {
    std::shared_ptr<const runtime::Graph> graph;
};

struct hs_graph_stream {
    std::shared_ptr<const runtime::Graph> graph;
    std::vector<float> states;  // [rows, state_size()]
    std::vector<bool> taken;    // one entry per row, to detect duplicates
    runtime::Workspace workspace;
    mutable std::atomic<bool> is_running{false};
};

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;  // numbers in an array

hs_status fail(hs_status status, const std::string& message, hs_error* error) {
    if (error) std::snprintf(error->message, sizeof error->message, "%s", message.c_str());
    return status;
}

// Runs work(), which returns a status, and turns its exceptions into status codes.
template <class Work>
hs_status guarded(hs_error* error, const Work& work) {
    try {
        return work();
    } catch (const runtime::FileError& found) {
        return fail(HS_FILE, found.what(), error);
    } catch (const std::out_of_range& found) {
        return fail(HS_ARGUMENT, found.what(), error);
    } catch (const std::invalid_argument& found) {
        return fail(HS_UNSUPPORTED, found.what(), error);
    } catch (const std::bad_alloc&) {
        return fail(HS_MEMORY, "there is not enough memory", error);
    } catch (const std::exception& found) {
        return fail(HS_MEMORY, found.what(), error);
    }
}

template <class Made>
hs_status load(const char* path, Made** made, hs_error* error, Made* (*make)(runtime::ModelFile)) {
    if (made) *made = nullptr;
    if (!path || !made) return fail(HS_ARGUMENT, "load: neither the path nor the result may be NULL", error);
    return guarded(error, [&] {
        const std::vector<unsigned char> bytes = runtime::read_file(path, runtime::kLargestFile);
        *made = make(runtime::ModelFile::parse(bytes.data(), bytes.size()));
        return HS_OK;
    });
}

template <class Made>
hs_status load_memory(const void* bytes, size_t size, Made** made, hs_error* error, Made* (*make)(runtime::ModelFile)) {
    if (made) *made = nullptr;
    if (!bytes || !made) return fail(HS_ARGUMENT, "load: neither the bytes nor the result may be NULL", error);
    return guarded(error, [&] { return *made = make(runtime::ModelFile::parse(static_cast<const unsigned char*>(bytes), size)), HS_OK; });
}

hs_model* model_of(runtime::ModelFile file) {
    std::shared_ptr<const runtime::Layer> layer = runtime::Layer::read(file);
    return new hs_model{std::move(layer), std::move(file.metadata)};
}

hs_tagger* tagger_of(runtime::ModelFile file) { return new hs_tagger{runtime::Tagger(file)}; }

// Whether the size of the widest array, steps * rows * (elements per row), stays within bounds.
bool fits(std::int64_t steps, std::int64_t rows, const runtime::Sizes& sizes) {
    const std::int64_t widest = std::max({sizes.C, 4 * sizes.H, sizes.D * sizes.P});
    return steps >= 0 && rows >= 0 && (rows == 0 || steps <= kMost / rows) && steps * rows <= kMost / (widest * sizes.count());
}

// Marks a stream as running. `is_alone` is false if another thread is using it: that would corrupt its states.
class Turn {
public:
    template <class Stream>
    explicit Turn(const Stream* stream) : is_alone(!stream->is_running.exchange(true, std::memory_order_acquire)), is_running_(stream->is_running) {}
    ~Turn() {
        if (is_alone) is_running_.store(false, std::memory_order_release);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    const bool is_alone;

private:
    std::atomic<bool>& is_running_;
};

template <class Stream>
bool are_rows(Stream* stream, const std::int64_t* rows, std::int64_t count) {
    const auto N = static_cast<std::int64_t>(stream->taken.size());
    if (count < 0 || count > N) return false;
    const auto taken = [&](std::int64_t k) { return stream->taken[static_cast<std::size_t>(rows[k])]; };
    std::int64_t marked = 0;
    for (; marked < count && rows[marked] >= 0 && rows[marked] < N && !taken(marked); ++marked) taken(marked) = true;
    for (std::int64_t k = 0; k < marked; ++k) taken(k) = false;
    return marked == count;
}

constexpr std::int64_t kMostRows = 1 << 24;

hs_graph* graph_of(runtime::ModelFile file) { return new hs_graph{runtime::Graph::read(file)}; }

hs_status described(const std::string& name, const runtime::Shape& shape, bool is_integer, hs_array* array) {
    *array = {name.c_str(), is_integer, static_cast<int>(shape.size()), {}};
    std::copy(shape.begin(), shape.end(), array->sizes);
    return HS_OK;
}

// The arguments of a run over so many steps and rows.
runtime::List<runtime::Array> arguments_of(const runtime::Graph& graph, std::int64_t steps, std::int64_t rows, const void* const* inputs) {
    runtime::List<runtime::Array> arguments;
    for (std::size_t k = 0; k < graph.inputs.size(); ++k) {
        runtime::Array array;
        for (const std::int64_t size : graph.inputs[k].shape) array.shape.push_back(runtime::Graph::size_of({size}, steps, rows));
        const std::int64_t count = runtime::Graph::size_of(array.shape, steps, rows);
        array.is_ints = graph.inputs[k].ints;
        if (array.is_ints) array.ints.assign(static_cast<const std::int64_t*>(inputs[k]), static_cast<const std::int64_t*>(inputs[k]) + count);
        else array.floats.assign(static_cast<const float*>(inputs[k]), static_cast<const float*>(inputs[k]) + count);
        arguments.push_back(std::move(array));
    }
    return arguments;
}

// Runs a graph; nothing is written unless it succeeds.
hs_status run_graph(const runtime::Graph& graph, std::int64_t steps, std::int64_t rows, const void* const* inputs, float* const* outputs,
                    float* carried, runtime::Workspace* workspace, hs_error* error) {
    const auto is_null = [](const void* array) { return array == nullptr; };
    if (std::any_of(inputs, inputs + graph.inputs.size(), is_null) || std::any_of(outputs, outputs + graph.outputs.size(), is_null)) {
        return fail(HS_ARGUMENT, "hs_graph: no input or output may be NULL", error);
    }
    if (!graph.fits(steps, rows) || (steps != 1 && !graph.takes(runtime::kT)) || (rows != 1 && !graph.takes(runtime::kN))) {
        return fail(HS_ARGUMENT, "hs_graph: steps and rows must be at least 1, fit into memory, and be 1 if no input has such an axis", error);
    }
    return guarded(error, [&] {
        const auto values = graph.run(arguments_of(graph, steps, rows, inputs), steps, rows, carried, workspace);
        for (std::size_t k = 0; k < graph.outputs.size(); ++k) {
            const runtime::Array& value = values[static_cast<std::size_t>(graph.outputs[k])];
            std::copy(value.floats.begin(), value.floats.end(), outputs[k]);
            std::transform(value.ints.begin(), value.ints.end(), outputs[k], [](std::int64_t whole) { return static_cast<float>(whole); });
        }
        return HS_OK;
    });
}

float* state_of(const hs_graph_stream* stream, std::int64_t row) {
    return const_cast<float*>(stream->states.data()) + row * stream->graph->state_size();
}

// Runs steps of `count` rows, or of the first if `rows` is null. The states change only if it succeeds.
hs_status advance(hs_graph_stream* stream, std::int64_t steps, const std::int64_t* rows, std::int64_t count, const void* const* inputs,
                  float* const* outputs, hs_error* error) {
    return guarded(error, [&] {
        runtime::Workspace* const workspace = steps == 1 ? &stream->workspace : nullptr;
        const runtime::Arena::Use use(workspace ? &workspace->arena : nullptr);
        const std::int64_t size = stream->graph->state_size();
        runtime::List<float> chosen(static_cast<std::size_t>(size * count));
        for (std::int64_t k = 0; k < count; ++k) std::copy_n(state_of(stream, rows ? rows[k] : k), size, chosen.data() + k * size);
        const hs_status status = run_graph(*stream->graph, steps, count, inputs, outputs, chosen.data(), workspace, error);
        for (std::int64_t k = 0; status == HS_OK && k < count; ++k) std::copy_n(chosen.data() + k * size, size, state_of(stream, rows ? rows[k] : k));
        return status;
    });
}

// A stream whose workspace has what any step needs, because it took one of all rows; its states are still to be set.
std::unique_ptr<hs_graph_stream> stream_of(const std::shared_ptr<const runtime::Graph>& graph, std::int64_t rows) {
    auto stream = std::make_unique<hs_graph_stream>();
    stream->graph = graph;
    stream->states.resize(static_cast<std::size_t>(rows * graph->state_size()));
    stream->taken.resize(static_cast<std::size_t>(rows));
    std::vector<std::vector<std::int64_t>> inputs;  // zeros of the wider type
    std::vector<std::vector<float>> outputs;
    std::vector<const void*> from;
    std::vector<float*> to;
    for (const runtime::Argument& input : graph->inputs) {
        inputs.emplace_back(static_cast<std::size_t>(runtime::Graph::size_of(input.shape, 1, rows))), from.push_back(inputs.back().data());
    }
    for (const std::int64_t value : graph->outputs) {
        const runtime::Shape& shape = graph->shapes[static_cast<std::size_t>(value)];
        outputs.emplace_back(static_cast<std::size_t>(runtime::Graph::size_of(shape, 1, rows))), to.push_back(outputs.back().data());
    }
    hs_error error = {""};
    if (advance(stream.get(), 1, nullptr, rows, from.data(), to.data(), &error) == HS_MEMORY) throw std::bad_alloc();
    stream->workspace.arena.grow();
    return stream;
}

}  // namespace

int hs_interface(void) { return HS_INTERFACE; }

hs_status hs_model_load(const char* path, hs_model** model, hs_error* error) { return load(path, model, error, model_of); }

hs_status hs_model_load_memory(const void* bytes, size_t size, hs_model** model, hs_error* error) {
    return load_memory(bytes, size, model, error, model_of);
}

void hs_model_free(hs_model* model) { delete model; }

hs_sizes hs_model_sizes(const hs_model* model) {
    if (!model) return {0, 0, 0, 0, 0};
    const runtime::Sizes& sizes = model->layer->sizes;
    return {sizes.C, sizes.H, sizes.P, sizes.L, sizes.D};
}

const char* hs_model_metadata(const hs_model* model, const char* name) {
    if (!model || !name) return nullptr;
    const auto found = model->metadata.find(name);
    return found == model->metadata.end() ? nullptr : found->second.c_str();
}

hs_status hs_run(const hs_model* model, int64_t steps, int64_t rows, const float* x, const int64_t* lengths, float* state_h, float* state_c,
                 float* out, hs_error* error) {
    return hs_trace(model, steps, rows, x, lengths, state_h, state_c, out, nullptr, nullptr, nullptr, error);
}

hs_status hs_trace(const hs_model* model, int64_t steps, int64_t rows, const float* x, const int64_t* lengths, float* state_h, float* state_c,
                   float* out, float* gates, float* cells, float* hidden, hs_error* error) {
    if (!model || !x || !out) return fail(HS_ARGUMENT, "hs_run: model, x and out must not be NULL", error);
    const runtime::Sizes& sizes = model->layer->sizes;
    if (sizes.cell->has_memory ? !state_h != !state_c : state_c != nullptr) {
        return fail(HS_ARGUMENT, sizes.cell->has_memory ? "hs_run: give both states, or neither"
                                                        : "hs_run: only an LSTM has a cell state: state_c must be NULL", error);
    }
    if (!fits(steps, rows, sizes)) return fail(HS_ARGUMENT, "hs_run: steps and rows must not be negative, and must fit into memory", error);
    for (std::int64_t n = 0; lengths && n < rows; ++n) {
        if (lengths[n] < 0 || lengths[n] > steps) return fail(HS_ARGUMENT, "hs_run: each length must be from 0 to the number of steps", error);
    }
    return guarded(error, [&] {
        const auto count = static_cast<std::size_t>(sizes.count() * rows);
        std::vector<float> h_n(count * static_cast<std::size_t>(sizes.P)), c_n(count * static_cast<std::size_t>(sizes.H));
        runtime::Run run;
        run.T = steps, run.N = rows, run.x = x, run.lengths = lengths, run.h0 = state_h, run.c0 = state_c;
        run.out = out, run.h_n = h_n.data(), run.c_n = sizes.cell->has_memory ? c_n.data() : nullptr;
        run.gates = gates, run.cells = sizes.cell->has_memory ? cells : nullptr, run.hidden = hidden;
        model->layer->run(run);
        if (state_h) std::copy(h_n.begin(), h_n.end(), state_h);
        if (state_c) std::copy(c_n.begin(), c_n.end(), state_c);
        return HS_OK;
    });
}

hs_status hs_stream_new(const hs_model* model, int64_t rows, hs_stream** stream, hs_error* error) {
    if (stream) *stream = nullptr;
    if (!model || !stream) return fail(HS_ARGUMENT, "hs_stream_new: model and stream must not be NULL", error);
    if (rows < 1 || !fits(1, rows, model->layer->sizes)) return fail(HS_ARGUMENT, "hs_stream_new: rows must be at least 1, and fit into memory", error);
    return guarded(error, [&] {
        auto made = std::make_unique<hs_stream>();
        made->stream = model->layer->stream(rows);
        made->taken.resize(static_cast<std::size_t>(rows));
        *stream = made.release();
        return HS_OK;
    });
}

void hs_stream_free(hs_stream* stream) { delete stream; }

hs_status hs_stream_step(hs_stream* stream, const float* x, float* out) {
    if (!stream || !x || !out) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone) return HS_ARGUMENT;
    return guarded(nullptr, [&] { return stream->stream->step(x, nullptr, 0, out), HS_OK; });
}

hs_status hs_stream_step_rows(hs_stream* stream, const int64_t* rows, int64_t count, const float* x, float* out) {
    if (!stream || !rows || !x || !out) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone || !are_rows(stream, rows, count)) return HS_ARGUMENT;
    if (count == 0) return HS_OK;
    return guarded(nullptr, [&] { return stream->stream->step(x, rows, count, out), HS_OK; });
}

hs_status hs_stream_feed(hs_stream* stream, int64_t steps, const float* x, float* out, hs_error* error) {
    return hs_stream_trace(stream, steps, x, out, nullptr, nullptr, nullptr, error);
}

hs_status hs_stream_trace(hs_stream* stream, int64_t steps, const float* x, float* out, float* gates, float* cells, float* hidden,
                          hs_error* error) {
    if (!stream || !x || !out) return fail(HS_ARGUMENT, "hs_stream_feed: stream, x and out must not be NULL", error);
    if (!fits(steps, stream->stream->N, stream->stream->layer->sizes)) {
        return fail(HS_ARGUMENT, "hs_stream_feed: steps must not be negative, and their arrays must fit into memory", error);
    }
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_stream_feed: another thread is using this stream: use one stream per thread", error);
    return guarded(error, [&] {
        runtime::Run run;
        run.T = steps, run.x = x, run.out = out, run.gates = gates, run.cells = cells, run.hidden = hidden;
        if (!stream->stream->layer->sizes.cell->has_memory) run.cells = nullptr;
        return stream->stream->feed(run), HS_OK;
    });
}

hs_status hs_stream_reset(hs_stream* stream, const int64_t* rows, int64_t count) {
    if (!stream) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone || (rows && !are_rows(stream, rows, count))) return HS_ARGUMENT;
    stream->stream->reset(rows, count);
    return HS_OK;
}

hs_status hs_stream_get_state(const hs_stream* stream, float* h, float* c) {
    if (!stream || !h || !c == stream->stream->layer->sizes.cell->has_memory) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone) return HS_ARGUMENT;
    stream->stream->read_state(h, c);
    return HS_OK;
}

hs_status hs_stream_set_state(hs_stream* stream, const float* h, const float* c) {
    if (!stream || !h || !c == stream->stream->layer->sizes.cell->has_memory) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone) return HS_ARGUMENT;
    stream->stream->write_state(h, c);
    return HS_OK;
}

hs_status hs_tagger_load(const char* path, hs_tagger** tagger, hs_error* error) { return load(path, tagger, error, tagger_of); }

hs_status hs_tagger_load_memory(const void* bytes, size_t size, hs_tagger** tagger, hs_error* error) {
    return load_memory(bytes, size, tagger, error, tagger_of);
}

void hs_tagger_free(hs_tagger* tagger) { delete tagger; }

const char* hs_tagger_column(const hs_tagger* tagger, int64_t column) {
    if (!tagger || column < 0 || column >= static_cast<int64_t>(tagger->tagger.columns().size())) return nullptr;
    return tagger->tagger.columns()[static_cast<std::size_t>(column)].name.c_str();
}

hs_status hs_tagger_tag(const hs_tagger* tagger, const char* const* words, int64_t count, const char** tags, hs_error* error) {
    if (!tagger || count < 0 || (count > 0 && (!words || !tags))) {
        return fail(HS_ARGUMENT, "hs_tagger_tag: tagger, words and tags must not be NULL, nor count negative", error);
    }
    return guarded(error, [&] {
        std::vector<std::u32string> given;
        for (int64_t k = 0; k < count; ++k) {
            const auto word = words[k] ? runtime::decoded(words[k]) : std::nullopt;
            if (!word || word->empty()) {
                return fail(HS_ARGUMENT, "hs_tagger_tag: word " + std::to_string(k) + " is " + (word ? "empty" : "NULL or not UTF-8"), error);
            }
            given.push_back(*word);
        }
        const std::vector<const char*> found = tagger->tagger.tag(given);
        std::copy(found.begin(), found.end(), tags);
        return HS_OK;
    });
}

hs_status hs_graph_load(const char* path, hs_graph** graph, hs_error* error) { return load(path, graph, error, graph_of); }

hs_status hs_graph_load_memory(const void* bytes, size_t size, hs_graph** graph, hs_error* error) {
    return load_memory(bytes, size, graph, error, graph_of);
}

void hs_graph_free(hs_graph* graph) { delete graph; }

hs_status hs_graph_input(const hs_graph* graph, int64_t input, hs_array* array) {
    if (!graph || !array || input < 0 || input >= static_cast<int64_t>(graph->graph->inputs.size())) return HS_ARGUMENT;
    const runtime::Argument& argument = graph->graph->inputs[static_cast<std::size_t>(input)];
    return described(argument.name, argument.shape, argument.ints, array);
}

hs_status hs_graph_output(const hs_graph* graph, int64_t output, hs_array* array) {
    static const std::string kNone;
    if (!graph || !array || output < 0 || output >= static_cast<int64_t>(graph->graph->outputs.size())) return HS_ARGUMENT;
    const std::int64_t value = graph->graph->outputs[static_cast<std::size_t>(output)];
    return described(kNone, graph->graph->shapes[static_cast<std::size_t>(value)], false, array);
}

int64_t hs_array_size(const hs_array* array, int64_t steps, int64_t rows) {
    return array ? runtime::Graph::size_of(runtime::Shape(array->sizes, array->sizes + array->rank), steps, rows) : 0;
}

hs_status hs_graph_run(const hs_graph* graph, int64_t steps, int64_t rows, const void* const* inputs, float* const* outputs, hs_error* error) {
    if (!graph || !inputs || !outputs) return fail(HS_ARGUMENT, "hs_graph_run: graph, inputs and outputs must not be NULL", error);
    return run_graph(*graph->graph, steps, rows, inputs, outputs, nullptr, nullptr, error);
}

hs_status hs_graph_stream_new(const hs_graph* graph, int64_t rows, hs_graph_stream** stream, hs_error* error) {
    if (stream) *stream = nullptr;
    if (!graph || !stream) return fail(HS_ARGUMENT, "hs_graph_stream_new: graph and stream must not be NULL", error);
    const std::string reason = graph->graph->why_no_stream();
    if (!reason.empty()) return fail(HS_UNSUPPORTED, "this model can't run step by step: " + reason, error);
    if (rows < 1 || rows > (graph->graph->takes(runtime::kN) ? kMostRows : 1) || !graph->graph->fits(1, rows)) {
        return fail(HS_ARGUMENT, "hs_graph_stream_new: rows must be at least 1, fit into memory, and be 1 if no input has an axis of rows", error);
    }
    return guarded(error, [&] {
        auto made = stream_of(graph->graph, rows);
        for (int64_t row = 0; row < rows; ++row) made->graph->begin(state_of(made.get(), row));
        return *stream = made.release(), HS_OK;
    });
}

void hs_graph_stream_free(hs_graph_stream* stream) { delete stream; }

hs_status hs_graph_stream_fork(const hs_graph_stream* stream, hs_graph_stream** other, hs_error* error) {
    if (other) *other = nullptr;
    if (!stream || !other) return fail(HS_ARGUMENT, "hs_graph_stream_fork: neither stream may be NULL", error);
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_graph_stream_fork: another thread is using this stream", error);
    return guarded(error, [&] {
        auto made = stream_of(stream->graph, static_cast<std::int64_t>(stream->taken.size()));
        made->states = stream->states;
        return *other = made.release(), HS_OK;
    });
}

hs_status hs_graph_stream_step(hs_graph_stream* stream, const int64_t* rows, int64_t count, const void* const* inputs, float* const* outputs,
                               hs_error* error) {
    if (!stream || !inputs || !outputs) return fail(HS_ARGUMENT, "hs_graph_stream_step: stream, inputs and outputs must not be NULL", error);
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_graph_stream_step: another thread is using this stream: use one stream per thread", error);
    if (!rows) return advance(stream, 1, nullptr, static_cast<int64_t>(stream->taken.size()), inputs, outputs, error);
    if (count < 1 || !are_rows(stream, rows, count)) return fail(HS_ARGUMENT, "hs_graph_stream_step: rows must be distinct rows of it", error);
    return advance(stream, 1, rows, count, inputs, outputs, error);
}

hs_status hs_graph_stream_feed(hs_graph_stream* stream, int64_t steps, const void* const* inputs, float* const* outputs, hs_error* error) {
    if (!stream || !inputs || !outputs) return fail(HS_ARGUMENT, "hs_graph_stream_feed: stream, inputs and outputs must not be NULL", error);
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_graph_stream_feed: another thread is using this stream: use one stream per thread", error);
    return advance(stream, steps, nullptr, static_cast<int64_t>(stream->taken.size()), inputs, outputs, error);
}

hs_status hs_graph_stream_reset(hs_graph_stream* stream, const int64_t* rows, int64_t count) {
    if (!stream) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone || (rows && !are_rows(stream, rows, count))) return HS_ARGUMENT;
    const auto all = static_cast<int64_t>(stream->taken.size());
    for (int64_t k = 0; k < (rows ? count : all); ++k) stream->graph->begin(state_of(stream, rows ? rows[k] : k));
    return HS_OK;
}

int64_t hs_graph_stream_state_size(const hs_graph_stream* stream) { return stream ? stream->graph->state_size() : 0; }

hs_status hs_graph_stream_get_state(const hs_graph_stream* stream, int64_t row, float* state) {
    if (!stream || !state || row < 0 || row >= static_cast<int64_t>(stream->taken.size())) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone) return HS_ARGUMENT;
    std::copy_n(state_of(stream, row), stream->graph->state_size(), state);
    return HS_OK;
}

hs_status hs_graph_stream_set_state(hs_graph_stream* stream, int64_t row, const float* state) {
    if (!stream || !state || row < 0 || row >= static_cast<int64_t>(stream->taken.size())) return HS_ARGUMENT;
    const Turn turn(stream);
    if (!turn.is_alone) return HS_ARGUMENT;
    std::copy_n(state, stream->graph->state_size(), state_of(stream, row));
    return HS_OK;
}

hs_status hs_graph_stream_save(const hs_graph_stream* stream, const char* path, hs_error* error) {
    if (!stream || !path) return fail(HS_ARGUMENT, "hs_graph_stream_save: neither the stream nor the path may be NULL", error);
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_graph_stream_save: another thread is using this stream", error);
    return guarded(error, [&] {
        return stream->graph->save_states(stream->states.data(), static_cast<std::int64_t>(stream->taken.size()), path), HS_OK;
    });
}

hs_status hs_graph_stream_load(hs_graph_stream* stream, const char* path, hs_error* error) {
    if (!stream || !path) return fail(HS_ARGUMENT, "hs_graph_stream_load: neither the stream nor the path may be NULL", error);
    const Turn turn(stream);
    if (!turn.is_alone) return fail(HS_ARGUMENT, "hs_graph_stream_load: another thread is using this stream", error);
    return guarded(error, [&] {
        return stream->states = stream->graph->load_states(static_cast<std::int64_t>(stream->taken.size()), path), HS_OK;
    });
}
