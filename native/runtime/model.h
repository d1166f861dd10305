// A recurrent layer without torch: reads it from a model file, runs it over sequences, and step by step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/edits.h"
#include "runtime/model_file.h"

namespace hiddenstate::runtime {

// A kind of cell as model files name it, for layers and in the settings of models: the order of its gates, how many rows per unit its
// weights have, and how many numbers per unit its record has.
struct Cell {
    const char *name, *setting, *order;
    std::int64_t gates, record;
    bool has_memory;  // a cell state beside the hidden state
};
inline constexpr Cell kCells[] = {  // inline: one array in the program, so that addresses tell cells apart
    {"LSTM", "lstm", "i f g o", 4, 4, true},
    {"GRU", "gru", "r z n", 3, 4, false},
    {"RNN_TANH", "rnn", "h", 1, 1, false},
    {"RNN_RELU", "rnn_relu", "h", 1, 1, false}};
constexpr const Cell *kLstm = kCells, *kGru = kCells + 1, *kRelu = kCells + 3;

// Null if there is no such cell.
const Cell* cell_named(const std::string& name);

// C input features, H units, P numbers of the hidden state (H without a projection), L layers of D directions.
struct Sizes {
    std::int64_t C = 0, H = 0, P = 0, L = 0, D = 0;
    bool bias = false;
    const Cell* cell = kLstm;

    std::int64_t count() const { return L * D; }  // for all layers and directions
    std::int64_t features(std::int64_t layer) const { return layer == 0 ? C : D * P; }
};

// The inputs and outputs of a run over a sequence: row-major arrays, time first. Those marked (*) may be null.
struct Run {
    std::int64_t T = 0, N = 0;
    const float* x = nullptr;               // [T, N, C]
    // (*) [L * D, N, P], [L * D, N, H]: zeros if null. Only an LSTM has c: for other cells every c below is null.
    const float *h0 = nullptr, *c0 = nullptr;
    const std::int64_t* lengths = nullptr;  // (*) [N], each in 0 ... T: the number of steps of each row
    float* out = nullptr;                   // [T, N, D * P], zero past a row's end
    float *h_n = nullptr, *c_n = nullptr;   // [L * D, N, P], [L * D, N, H]
    // (*) [L * D, T, N, record * H], the gates of a row one after another: i, f, g, o; r, z, n and n_h, the state's part of n before r; or h
    // before its edits.
    float* gates = nullptr;
    float* cells = nullptr;                 // (*) [L * D, T, N, H]: the cell states
    float* hidden = nullptr;                // (*) [L, T, N, D * P]: each layer's output
    std::vector<const Edits<float>*> edits;  // empty, or for each layer and direction its edits or null
    int threads = 1;
};

class Stream;

// The weights of a layer: never changed, and shared by any number of threads.
class Layer : public std::enable_shared_from_this<Layer> {
public:
    virtual ~Layer() = default;

    // Reads the layer whose tensors' names begin with `prefix`. Throws FileError.
    static std::shared_ptr<const Layer> read(const ModelFile& file, const std::string& prefix, const Sizes& sizes);

    // May throw std::bad_alloc.
    virtual void run(const Run& run) const = 0;
    // A stream of N rows, whose states are zero. Throws std::invalid_argument if it is bidirectional, so that it can't be run step
    // by step; std::bad_alloc if N rows do not fit into memory.
    virtual std::unique_ptr<Stream> stream(std::int64_t N) const = 0;

    const Sizes sizes;
    const std::string isa, precision;  // the instruction set that computes it

protected:
    Layer(const Sizes& sizes, std::string isa, std::string precision)
        : sizes(sizes), isa(std::move(isa)), precision(std::move(precision)) {}
};

// N sequences and their states, for one thread at a time.
class Stream {
public:
    virtual ~Stream() = default;

    // One step of some rows, `count` distinct ones, or (null) all: from x [count, C] to out [count, P]. Allocates nothing and waits for
    // nothing without a projection; with int8 weights from a thread's second step on. With a projection it may throw std::bad_alloc.
    virtual void step(const float* x, const std::int64_t* rows, std::int64_t count, float* out) = 0;
    // Steps of all rows, from and to their states: a run whose x, out, T, threads and records are given. May throw std::bad_alloc; then
    // no state has changed.
    virtual void feed(Run run) = 0;
    // Sets rows (null: all) to zero.
    virtual void reset(const std::int64_t* rows, std::int64_t count) = 0;
    // h [L, N, P] and c [L, N, H]; null without one.
    virtual void read_state(float* h, float* c) const = 0;
    virtual void write_state(const float* h, const float* c) = 0;

    const std::shared_ptr<const Layer> layer;
    const std::int64_t N;

protected:
    Stream(std::shared_ptr<const Layer> layer, std::int64_t N) : layer(std::move(layer)), N(N) {}
};

// Sizes from torch's arguments, within bounds that keep every product of two of them small. Throws FileError.
Sizes checked_sizes(std::int64_t input_size, std::int64_t hidden_size, std::int64_t num_layers, bool bias, bool bidirectional,
                    std::int64_t proj_size, const Cell& cell = *kLstm);

// Throws FileError if a file is of another format or kind.
void require_kind(const ModelFile& file, const char* expected);

// The sizes that a file's metadata state for its layer. Throws FileError.
Sizes read_sizes(const ModelFile& file);

// A tensor's numbers as floats; integers are multiplied by the scales of their rows. Throws FileError.
std::vector<float> restored(const ModelFile& file, const std::string& name);

}  // namespace hiddenstate::runtime
