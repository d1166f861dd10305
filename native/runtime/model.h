// A recurrent layer without torch, which is read from a model file and runs over whole sequences or step by step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/edits.h"
#include "kernel/kinds.h"
#include "runtime/model_file.h"

namespace hiddenstate::runtime {

// C input features, H units, a hidden state of size P (H without a projection), L layers with D directions.
struct Sizes {
    std::int64_t C = 0, H = 0, P = 0, L = 0, D = 0;
    bool bias = false;
    const Cell* cell = kCells;

    std::int64_t count() const { return L * D; }  // layers times directions
    std::int64_t features(std::int64_t layer) const { return layer == 0 ? C : D * P; }
};

// The inputs and outputs of a run over a sequence, as row-major arrays, time first. Those marked (*) may be null.
struct Run {
    std::int64_t T = 0, N = 0;
    const float* x = nullptr;               // [T, N, C]
    // (*) [L * D, N, P], [L * D, N, H]; null means zeros. Only an LSTM has c; for other cells, every c below is null.
    const float *h0 = nullptr, *c0 = nullptr;
    const std::int64_t* lengths = nullptr;  // (*) [N]: the number of steps of each row, 0 to T
    float* out = nullptr;                   // [T, N, D * P], zero past a row's end
    float *h_n = nullptr, *c_n = nullptr;   // [L * D, N, P], [L * D, N, H]
    // (*) [L * D, T, N, record * H]: the gates of each row, one after another. For an LSTM, i, f, g, o; for a GRU, r, z, n and n_h, the
    // recurrent part of n before it is multiplied by r; for a plain RNN, h before edits.
    float* gates = nullptr;
    float* cells = nullptr;                 // (*) [L * D, T, N, H]: the cell states
    float* hidden = nullptr;                // (*) [L, T, N, D * P]: each layer's output
    std::vector<const Edits<float>*> edits;  // the edits of each layer and direction (null for none); or empty
    int threads = 1;
};

class Stream;

// The weights of a layer. Immutable, so any number of threads may share them.
class Layer : public std::enable_shared_from_this<Layer> {
public:
    virtual ~Layer() = default;

    // Reads the layer that a file holds. Throws FileError.
    static std::shared_ptr<const Layer> read(const ModelFile& file);
    // Reads the layer of a larger model, whose tensor names begin with `prefix`. Throws FileError.
    static std::shared_ptr<const Layer> read(const ModelFile& file, const std::string& prefix, const Sizes& sizes);

    // May throw std::bad_alloc.
    virtual void run(const Run& run) const = 0;
    // A stream of N rows, whose states start at zero. Throws std::invalid_argument if the layer is bidirectional and so can't run step by
    // step, and std::bad_alloc if N rows do not fit in memory.
    virtual std::unique_ptr<Stream> stream(std::int64_t N) const = 0;

    const Sizes sizes;
    const std::string isa, precision;  // `isa`: the instruction set that it runs on

protected:
    Layer(const Sizes& sizes, std::string isa, std::string precision)
        : sizes(sizes), isa(std::move(isa)), precision(std::move(precision)) {}
};

// N sequences and their states. Only one thread may use it at a time.
class Stream {
public:
    virtual ~Stream() = default;

    // Runs one step of `count` distinct rows, or of all if `rows` is null: from x [count, C] to out [count, P]. Allocates nothing and waits
    // for nothing, except that a thread's first step with int8 weights allocates. So does every step with a projection, which may throw
    // std::bad_alloc.
    virtual void step(const float* x, const std::int64_t* rows, std::int64_t count, float* out) = 0;
    // Runs steps of all rows and updates their states. The run's x, out, T, threads and records must be set. May throw std::bad_alloc, in
    // which case no state has changed.
    virtual void feed(Run run) = 0;
    // Runs a sequence of up to N rows from states of its own, as `Layer::run` does without lengths, records and edits; like a step, it allocates
    // nothing. The states of this stream are lost.
    virtual void run(const Run& run) = 0;
    // Sets the states of some rows to zero, or those of all rows if `rows` is null.
    virtual void reset(const std::int64_t* rows, std::int64_t count) = 0;
    // Copies the states to h [L, N, P] and c [L, N, H]; c is null without a cell state.
    virtual void read_state(float* h, float* c) const = 0;
    virtual void write_state(const float* h, const float* c) = 0;

    const std::shared_ptr<const Layer> layer;
    const std::int64_t N;

protected:
    Stream(std::shared_ptr<const Layer> layer, std::int64_t N) : layer(std::move(layer)), N(N) {}
};

// Sizes from torch's arguments, limited so that no product of two of them is large. Throws FileError.
Sizes checked_sizes(std::int64_t input_size, std::int64_t hidden_size, std::int64_t num_layers, bool bias, bool bidirectional,
                    std::int64_t proj_size, const Cell& cell = *kCells);

// Throws FileError if a file has another format or kind.
void require_kind(const ModelFile& file, const char* expected);

// A tensor's numbers as floats; integers are multiplied by the scales of their rows. Throws FileError if one is not finite.
std::vector<float> restored(const ModelFile& file, const std::string& name);

}  // namespace hiddenstate::runtime
