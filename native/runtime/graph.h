// A whole model as a graph of operations, which hiddenstate/models/graph/graph.py describes. All of it is checked when it is read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/arena.h"
#include "runtime/model.h"
#include "runtime/model_file.h"

namespace hiddenstate::runtime {

// The sizes of an array, or those below for rows (N), time steps (T), and both as one axis.
using Shape = List<std::int64_t>;
constexpr std::int64_t kN = -1, kT = -2, kNT = -3, kTN = -4;

// An array of numbers, or of integers, row after row.
struct Array {
    Shape shape;
    List<float> floats;
    List<std::int64_t> ints;
    bool is_ints = false;

    std::int64_t size() const { return static_cast<std::int64_t>(is_ints ? ints.size() : floats.size()); }
};

// A setting of a node: a number (perhaps an integer), a flag, a text, or a list of integers and symbols.
struct Setting {
    enum Kind { kInteger, kNumber, kFlag, kText, kList } kind = kInteger;
    double number = 0;
    std::string text;
    Shape list;
};

struct Operation;

struct Node {
    const Operation* op = nullptr;
    std::string name;
    std::vector<std::int64_t> inputs;
    std::vector<std::string> tensors;
    std::map<std::string, Setting> settings;

    // A setting, which must exist; or 0 for those that only layers have.
    std::int64_t integer(const char* key) const;
    const Shape& list(const char* key) const { return settings.at(key).list; }
    std::string label() const;
};

struct Argument {
    std::string name;
    Shape shape;
    bool ints = false;
};

// What a stream of a graph keeps so that its steps allocate nothing: memory for arrays, and a stream of each node that is a layer or cell.
struct Workspace {
    Arena arena;
    std::map<std::size_t, std::unique_ptr<Stream>> streams;
};

// Immutable, so any number of threads may share it.
class Graph {
public:
    // Throws FileError, with the name of the node that does not fit.
    static std::shared_ptr<const Graph> read(const ModelFile& file);

    // Runs it over steps of rows, and returns its values by their numbers, of which only the outputs are kept. `carried` [N, state_size()],
    // or null for a whole run: read, and replaced by what the next chunk needs. `workspace`: of a stream that takes one step, or null.
    // Throws std::out_of_range if an index does not fit an embedding, and std::bad_alloc.
    List<Array> run(List<Array> arguments, std::int64_t T, std::int64_t N, float* carried, Workspace* workspace) const;
    // The size of a value, given those of T and N.
    static std::int64_t size_of(const Shape& shape, std::int64_t T, std::int64_t N);
    // Whether the arrays of so many steps and rows stay within bounds.
    bool fits(std::int64_t T, std::int64_t N) const;
    // Why it can't run step by step; empty if it can.
    std::string why_no_stream() const;
    // Whether an input has this symbol.
    bool takes(std::int64_t symbol) const;
    // The numbers that a row carries from step to step, and what they are before its first.
    std::int64_t state_size() const { return state_size_; }
    void begin(float* state) const;
    // Write and read the states of N rows, [N, state_size()], as a file that streams in Python and JavaScript read and write, too. Both throw
    // FileError; reading, also if they are of another model file or another number of rows.
    void save_states(const float* states, std::int64_t N, const std::string& path) const;
    std::vector<float> load_states(std::int64_t N, const std::string& path) const;

    std::vector<Argument> inputs;
    std::vector<std::int64_t> outputs;  // the numbers of values: the inputs first, then the results of each node
    std::vector<Shape> shapes;

private:
    void parse(const std::string& text);
    void check(const ModelFile& file);
    void load(const ModelFile& file);
    bool over_time(const Node& node) const;
    Array compute(std::size_t place, const List<const Array*>& x, std::int64_t T, std::int64_t N, float* carried) const;
    List<Array> recurrent(std::size_t place, const List<const Array*>& x, float* carried, Workspace* workspace) const;
    Array convolved(std::size_t place, const Array& x, float* carried) const;
    List<const Array*> stored(const Node& node) const;
    // A part of what rows carry: a layer's h or c [L, N, width], or a convolution's last inputs [N, channels, reach].
    struct StatePart {
        std::string name;  // in files
        Shape shape;
        std::int64_t begin;  // in a row's state
    };
    std::vector<StatePart> state_parts() const;
    template <class Copy>
    void each_run(const StatePart& part, std::int64_t N, const Copy& copy) const;

    std::vector<Node> nodes_;
    std::vector<std::int64_t> firsts_, carries_;       // of each node: its first result; where its part of a state begins
    std::vector<std::vector<std::int64_t>> ends_;      // of each node: the values that nothing needs after it
    std::map<std::string, Array> tensors_;
    std::map<std::string, std::vector<float>> columns_;  // linear layers' and convolutions' weights: loops are over neighbours
    std::map<std::string, std::shared_ptr<const Layer>> layers_;
    std::string fingerprint_;  // of the file
    std::int64_t state_size_ = 0;
    double work_ = 0;  // bytes of all values of one row and step
};

// By which a state knows its model: the BLAKE2b hash, of 16 bytes, of the model's file, in hexadecimal.
std::string fingerprint_of(const unsigned char* bytes, std::size_t size);

}  // namespace hiddenstate::runtime
