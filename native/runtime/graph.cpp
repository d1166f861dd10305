// Reads a graph and checks it: every shape, and the memory that a row and step take.
#include "runtime/graph.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "runtime/json.h"
#include "runtime/operations.h"

namespace hiddenstate::runtime {
namespace {

// As in models/graph/graph.py.
constexpr std::size_t kMostNodes = 4096, kMostText = 1 << 22, kMostAxes = 8;
constexpr double kMostSize = 2147483648.0, kWork = 1 << 26, kWorkPerByte = 16;
constexpr double kMostNumbers = 1099511627776.0;  // in an array, with all its rows and steps

// A node does not fit; the message says how.
struct Misfit : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void need(bool fits, const std::string& message) {
    if (!fits) throw Misfit(message);
}

double known_product(const Shape& shape) {  // of the sizes that are no symbols; no integer could hold that of a hostile file
    double result = 1;
    for (const std::int64_t size : shape) result *= size > 0 ? static_cast<double>(size) : 1;
    return result;
}

std::string text_of(const Shape& shape) {
    std::ostringstream text;
    for (const std::int64_t size : shape) {
        text << (text.tellp() > 0 ? ", " : "[");
        size > 0 ? text << size : text << (size == kN ? "N" : size == kT ? "T" : size == kNT ? "N*T" : "T*N");
    }
    return shape.empty() ? "[]" : text.str() + "]";
}

std::int64_t symbol(const std::string& text) {
    const std::int64_t found = text == "N" ? kN : text == "T" ? kT : text == "N*T" ? kNT : text == "T*N" ? kTN : 0;
    need(found != 0, "there is no size '" + text.substr(0, 20) + "'");
    return found;
}

std::int64_t integer_of(Json& json) {
    bool is_integer = false;
    const double number = json.number(&is_integer);
    need(is_integer && std::abs(number) <= kMostSize, "a number is no integer, or too large");
    return static_cast<std::int64_t>(number);
}

Shape shape_of(Json& json, std::size_t most) {
    Shape shape;
    json.array([&] {
        need(shape.size() < most, "a list is too long");
        const bool is_symbol = json.peek() == '"';
        shape.push_back(is_symbol ? symbol(json.string()) : integer_of(json));
        need(is_symbol || shape.back() >= 0, "a list has negative numbers");
    });
    return shape;
}

// Requires at most eight axes, with rows and time steps at most once.
void check_shape(const Shape& shape) {
    int rows = 0, steps = 0;
    for (const std::int64_t size : shape) {
        need(size != 0 && size >= kTN && static_cast<double>(size) < kMostSize, "its shape is " + text_of(shape));
        rows += size < 0 && size != kT, steps += size < 0 && size != kN;
    }
    need(shape.size() <= kMostAxes && rows <= 1 && steps <= 1, "its shape " + text_of(shape) + " has more than 8 axes, or two of time or rows");
}

Setting setting_of(Json& json) {
    Setting setting;
    const char next = json.peek();
    if (next == '"') {
        setting.kind = Setting::kText, setting.text = json.string();
    } else if (next == '[') {
        setting.kind = Setting::kList, setting.list = shape_of(json, kMostAxes);
    } else if (next == 't' || next == 'f') {
        setting.kind = Setting::kFlag, setting.number = json.boolean();
    } else {
        bool is_integer = false;
        setting.number = json.number(&is_integer);
        need(std::abs(setting.number) < 3e38, "a number is too large");
        setting.kind = is_integer ? Setting::kInteger : Setting::kNumber;
    }
    return setting;
}

Argument argument_of(Json& json) {
    Argument argument;
    std::set<std::string> keys;
    json.object([&](const std::string& key) {
        need(keys.insert(key).second, "an input repeats its " + key.substr(0, 20));
        if (key == "name") return void(argument.name = json.string());
        if (key == "shape") return void(argument.shape = shape_of(json, kMostAxes));
        need(key == "ints", "an input is not described as inputs are");
        argument.ints = json.boolean();
    });
    need(keys.size() == 3, "an input is not described as inputs are");
    check_shape(argument.shape);
    const auto is_joined = [](std::int64_t size) { return size == kNT || size == kTN; };
    need(std::none_of(argument.shape.begin(), argument.shape.end(), is_joined), "an input joins rows and steps: they are axes of their own");
    return argument;
}

// Reads a node's parts, and returns the name of its operation.
std::string read_node(Json& json, Node& node) {
    std::set<std::string> keys;
    std::string op;
    json.object([&](const std::string& key) {
        need(keys.insert(key).second, "a node repeats its " + key.substr(0, 20));
        if (key == "op") {
            op = json.string();
        } else if (key == "name") {
            node.name = json.string();
        } else if (key == "inputs") {
            json.array([&] {
                need(node.inputs.size() < kMostNodes, "a node reads too many values");
                node.inputs.push_back(integer_of(json));
            });
        } else if (key == "tensors") {
            json.array([&] {
                need(node.tensors.size() < 2, "a node has too many tensors");
                node.tensors.push_back(json.string());
            });
        } else {
            need(node.settings.size() < 16, "a node has too many settings");
            node.settings[key] = setting_of(json);
        }
    });
    need(keys.count("op") && keys.count("name") && keys.count("inputs"), "a node has no operation, name and inputs");
    return op;
}

Node node_of(Json& json, std::size_t place) {
    Node node;
    try {
        const std::string op = read_node(json, node);
        node.op = operation_named(op);
        need(node.op != nullptr, "there is no operation '" + op.substr(0, 20) + "'");
    } catch (const Misfit& error) {
        const std::string name = node.name.empty() ? "" : ", `" + node.name.substr(0, 60) + "`";
        throw Misfit("node " + std::to_string(place) + name + ": " + error.what());
    }
    return node;
}

// The rules: each returns the shapes of a node's results.

using Shapes = std::vector<Shape>;

// The size of an axis of a fixed size, or of one of the allowed symbol.
std::int64_t axis_of(const Shape& x, std::int64_t axis, std::int64_t allowed = 0) {
    need(axis >= 0 && axis < static_cast<std::int64_t>(x.size()), "it names axis " + std::to_string(axis) + " of " + text_of(x));
    const std::int64_t size = x[static_cast<std::size_t>(axis)];
    need(size > 0 || size == allowed, "axis " + std::to_string(axis) + " of " + text_of(x) + " would mix rows or steps");
    return size;
}

Shape with_axis(Shape shape, std::int64_t axis, std::int64_t size) {
    shape[static_cast<std::size_t>(axis)] = size;
    return shape;
}

Shape without_axis(Shape shape, std::int64_t axis) {
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
    return shape;
}

Shape broadcast(const Shape& a, const Shape& b) {
    Shape result(std::max(a.size(), b.size()));
    for (std::size_t k = 1; k <= result.size(); ++k) {
        const std::int64_t first = k <= a.size() ? a[a.size() - k] : 1, second = k <= b.size() ? b[b.size() - k] : 1;
        need(first == second || first == 1 || second == 1, "shapes " + text_of(a) + " and " + text_of(b) + " do not fit each other");
        result[result.size() - k] = first == 1 ? second : first;
    }
    return result;
}

// The symbols of a shape, with the products of the sizes before, between and after them.
std::vector<double> runs(const Shape& shape) {
    std::vector<double> result{1};
    for (const std::int64_t size : shape) {
        if (size > 0) {
            result.back() *= static_cast<double>(size);
        } else {
            for (const std::int64_t letter : size == kNT ? Shape{kN, kT} : size == kTN ? Shape{kT, kN} : Shape{size}) {
                result.push_back(static_cast<double>(letter)), result.push_back(1);
            }
        }
    }
    return result;
}

// Whether its weights are kept by columns.
bool has_columns(const Node& node) { return node.op->kind == Op::linear || node.op->kind == Op::conv1d; }

Shape convolved_shape(const Node& node, const Shape& x, const Shapes& stored) {
    const Shape& weight = stored[0];
    need(x.size() == 3 && weight.size() == 3, "x has shape " + text_of(x) + ", and the weight " + text_of(weight));
    const std::int64_t stride = node.integer("stride"), dilation = node.integer("dilation"), groups = node.integer("groups");
    const Shape& padding = node.list("padding");
    need(std::min({stride, dilation, groups}) >= 1 && padding.size() == 2 && std::min(padding[0], padding[1]) >= 0, "its settings");
    need(weight[1] * groups == x[1] && weight[0] % groups == 0, "its " + std::to_string(x[1]) + " channels do not fit " + text_of(weight));
    need(stored.size() < 2 || stored[1] == Shape{weight[0]}, "the bias does not fit the weight");
    const double reach = static_cast<double>(weight[2] - 1) * static_cast<double>(dilation);
    if (x[2] < 0) {
        const bool is_causal = x[2] == kT && (x[0] == kN || x[0] == 1) && stride == 1 && static_cast<double>(padding[0]) == reach && padding[1] == 0;
        need(is_causal, "over time only a causal convolution is in the list: stride 1, padded on the left alone");
        return {x[0], weight[0], x[2]};
    }
    const double room = static_cast<double>(x[2] + padding[0] + padding[1]) - reach;
    need(room >= 1, "its taps do not fit " + std::to_string(x[2]) + " values");
    return {x[0], weight[0], (static_cast<std::int64_t>(room) - 1) / stride + 1};
}

Shapes recurrent_shapes(const Node& node, const Shapes& x) {
    const Cell& cell = *cell_named(node.settings.at("cell").text);
    const bool is_layer = node.op->kind == Op::layer, batch_first = node.integer("batch_first") != 0;
    const std::int64_t C = node.integer("input_size"), H = node.integer("hidden_size"), D = 1 + node.integer("bidirectional");
    const std::int64_t P = node.integer("proj_size") ? node.integer("proj_size") : H, L = is_layer ? node.integer("num_layers") : 1;
    need(C >= 1 && H >= 1 && P >= 1 && P <= H && L >= 1 && L <= static_cast<std::int64_t>(kMostNodes), "its sizes are out of range");
    const Shape& input = x[0];
    need(input.size() == (is_layer ? 3U : 2U) && input.back() == C, "x has shape " + text_of(input) + ", and it reads " + std::to_string(C) + " features");
    const std::int64_t N = input[!is_layer || batch_first ? 0 : 1], T = is_layer ? input[batch_first ? 1 : 0] : 1;
    need(T > 0 || (T == kT && (N == kN || N == 1)), "x has shape " + text_of(input) + ", expected steps T (or a fixed number) and rows N");
    Shapes results;
    if (is_layer) results.push_back({input[0], input[1], D * P});
    for (std::size_t k = 0; k < (cell.has_memory ? 2U : 1U); ++k) {
        const std::int64_t width = k == 0 ? P : H;
        results.push_back(is_layer ? Shape{L * D, N, width} : Shape{N, width});
    }
    const std::size_t states = results.size() - (is_layer ? 1 : 0);
    need(x.size() == 1 || x.size() == 1 + states, "it has " + std::to_string(x.size() - 1) + " states");
    for (std::size_t k = 1; k < x.size(); ++k) {
        const Shape& wanted = results[k - (is_layer ? 0 : 1)];
        need(x[k] == wanted || x[k] == with_axis(wanted, is_layer ? 1 : 0, 1), "a state has shape " + text_of(x[k]));
    }
    return results;
}

Shape reduced_shape(const Node& node, const Shape& x) {
    const Shape& axes = node.list("axes");
    const std::set<std::int64_t> distinct(axes.begin(), axes.end());
    need(!axes.empty() && distinct.size() == axes.size(), "its axes are " + text_of(axes));
    for (const std::int64_t axis : axes) axis_of(x, axis, kT);
    Shape kept;
    for (std::size_t k = 0; k < x.size(); ++k) {
        const bool is_gone = distinct.count(static_cast<std::int64_t>(k)) > 0;
        if (!is_gone || node.integer("keep")) kept.push_back(is_gone ? 1 : x[k]);
    }
    return kept;
}

Shapes inferred(const Node& node, const Shapes& inputs, const Shapes& stored) {
    const Shape x = inputs.empty() ? Shape{} : inputs[0];
    const auto rank = static_cast<std::int64_t>(x.size());
    const auto axis = [&node] { return node.integer("axis"); };
    switch (node.op->kind) {
        case Op::layer:
        case Op::cell: return recurrent_shapes(node, inputs);
        case Op::linear: {
            const Shape& weight = stored[0];
            need(weight.size() == 2 && rank > 0 && x.back() == weight[1], "x has shape " + text_of(x) + ", and the weight " + text_of(weight));
            need(stored.size() < 2 || stored[1] == Shape{weight[0]}, "the bias does not fit the weight");
            return {with_axis(x, rank - 1, weight[0])};
        }
        case Op::embedding: {
            need(stored[0].size() == 2, "its weight is no matrix");
            Shape result = x;
            result.push_back(stored[0][1]);
            return {result};
        }
        case Op::conv1d: return {convolved_shape(node, x, stored)};
        case Op::pad: {
            const std::int64_t size = axis_of(x, axis());
            const Shape& amount = node.list("amount");
            const std::string& mode = node.settings.at("mode").text;
            need(amount.size() == 2 && std::min(amount[0], amount[1]) >= 0 && (mode == "constant" || mode == "reflect"), "its amount or mode");
            need(mode == "constant" || std::max(amount[0], amount[1]) < size, "it reflects more values than there are");
            return {with_axis(x, axis(), size + amount[0] + amount[1])};
        }
        case Op::layer_norm: {
            const std::int64_t count = node.integer("count");
            need(count >= 1 && count <= rank, "it normalises " + std::to_string(count) + " axes of " + text_of(x));
            for (std::int64_t k = rank - count; k < rank; ++k) axis_of(x, k);
            for (const Shape& weight : stored) need(weight == Shape(x.data() + rank - count, x.data() + rank), "its weights do not fit " + text_of(x));
            return {x};
        }
        case Op::add:
        case Op::subtract:
        case Op::multiply:
        case Op::divide: return {broadcast(inputs[0], inputs[1])};
        case Op::softmax: axis_of(x, axis(), kT); return {x};
        case Op::concatenate: {
            std::int64_t sum = 0;
            for (const Shape& part : inputs) {
                sum += axis_of(part, axis());
                need(part.size() == x.size() && without_axis(part, axis()) == without_axis(x, axis()), "its parts do not fit each other");
            }
            return {with_axis(x, axis(), sum)};
        }
        case Op::slice: {
            const std::int64_t size = axis_of(x, axis()), start = node.integer("start"), stop = node.integer("stop"), step = node.integer("step");
            need(start >= 0 && start < stop && stop <= size && step >= 1, "it takes other than 0 to " + std::to_string(size));
            return {with_axis(x, axis(), (stop - start - 1) / step + 1)};
        }
        case Op::last: need(axis_of(x, axis(), kT) == kT, "its axis of " + text_of(x) + " is not time"); return {without_axis(x, axis())};
        case Op::reshape:
            need(runs(x) == runs(node.list("shape")), text_of(x) + " as " + text_of(node.list("shape")) + " would mix rows, steps and features");
            return {node.list("shape")};
        case Op::transpose: {
            const Shape &order = node.list("order");
            Shape sorted = order, result;
            std::sort(sorted.begin(), sorted.end());
            bool fits = sorted.size() == x.size();
            for (std::int64_t k = 0; fits && k < rank; ++k) fits = sorted[static_cast<std::size_t>(k)] == k;
            need(fits, "its order does not fit " + text_of(x));
            for (const std::int64_t from : order) result.push_back(x[static_cast<std::size_t>(from)]);
            return {result};
        }
        case Op::mean:
        case Op::maximum: return {reduced_shape(node, x)};
        case Op::constant: return {stored.empty() ? Shape{} : stored[0]};
        default: return {x};
    }
}

// Requires the inputs, tensors and settings that the operation has.
void check_form(const Node& node, std::size_t values) {
    const Operation& op = *node.op;
    need(node.inputs.size() >= op.inputs[0] && node.inputs.size() <= op.inputs[1], "it has " + std::to_string(node.inputs.size()) + " inputs");
    need(node.tensors.size() >= op.tensors[0] && node.tensors.size() <= op.tensors[1], "it has " + std::to_string(node.tensors.size()) + " tensors");
    std::istringstream expected(op.settings);
    std::string key;
    char kind = 0;
    std::size_t count = 0;
    for (; expected >> key >> kind; ++count) {
        const auto found = node.settings.find(key);
        need(found != node.settings.end(), "it lacks " + key);
        const Setting& setting = found->second;
        const auto is_size = [](std::int64_t size) { return size >= 0; };
        const bool fits = kind == 'i'   ? setting.kind == Setting::kInteger && std::abs(setting.number) <= kMostSize
                          : kind == 'n' ? setting.kind == Setting::kInteger || setting.kind == Setting::kNumber
                          : kind == 'b' ? setting.kind == Setting::kFlag
                          : kind == 't' ? setting.kind == Setting::kText
                          : kind == 'c' ? setting.kind == Setting::kText && cell_named(setting.text)
                          : kind == 's' ? setting.kind == Setting::kList
                                        : setting.kind == Setting::kList && std::all_of(setting.list.begin(), setting.list.end(), is_size);
        need(fits, "its " + key + " is of another kind or out of range");
    }
    need(count == node.settings.size(), "it has settings that " + std::string(op.name) + " has not");
    for (const std::int64_t value : node.inputs) {
        need(value >= 0 && value < static_cast<std::int64_t>(values), "it reads value " + std::to_string(value) + ", but there are " +
                                                                          std::to_string(values) + " before it: is it cyclic?");
    }
}

bool reads_ints(const Node& node, const std::vector<bool>& ints) {
    const auto is_int = [&ints](std::int64_t value) { return ints[static_cast<std::size_t>(value)]; };
    const bool reads = std::any_of(node.inputs.begin(), node.inputs.end(), is_int);
    need(!reads || std::all_of(node.inputs.begin(), node.inputs.end(), is_int), "it reads both integers and numbers");
    need(!reads || node.op->reads_ints, "it reads integers, which only an embedding turns into numbers");
    need(reads || node.op->kind != Op::embedding, "an embedding reads integers");
    return reads;
}

}  // namespace

std::int64_t Node::integer(const char* key) const {
    const auto found = settings.find(key);
    return found == settings.end() ? 0 : static_cast<std::int64_t>(found->second.number);
}

std::string Node::label() const { return name.empty() ? op->name : "`" + name.substr(0, 60) + "` (" + op->name + ")"; }

void Graph::parse(const std::string& text) {
    need(text.size() <= kMostText, "it is longer than graphs are");
    Json json(text.data(), text.data() + text.size());
    std::set<std::string> keys;
    json.object([&](const std::string& key) {
        need(keys.insert(key).second, "it repeats its " + key.substr(0, 20));
        if (key == "inputs" || key == "nodes") {
            json.array([&] {
                need(std::max(inputs.size(), nodes_.size()) < kMostNodes, "it has more than 4,096 inputs or nodes");
                key == "nodes" ? nodes_.push_back(node_of(json, nodes_.size())) : inputs.push_back(argument_of(json));
            });
        } else if (key == "outputs") {
            json.array([&] {
                need(outputs.size() < kMostNodes, "it has more than 4,096 outputs");
                outputs.push_back(integer_of(json));
            });
        } else {
            json.skip();
        }
    });
    json.end();
    need(!inputs.empty() && !nodes_.empty() && !outputs.empty(), "it needs an input, a node and an output");
}

void Graph::check(const ModelFile& file) {
    std::vector<bool> ints;
    std::set<std::string> named;
    double weights = 0;
    for (const Argument& input : inputs) {
        shapes.push_back(input.shape), ints.push_back(input.ints);
        work_ += 4 * known_product(input.shape);
    }
    for (const Node& node : nodes_) {
        for (const std::string& name : node.tensors) {
            const auto found = file.tensors.find(name);
            if (named.insert(name).second && found != file.tensors.end()) weights += static_cast<double>(found->second.size());
        }
    }
    std::map<std::int64_t, std::size_t> last;
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
        const Node& node = nodes_[place];
        try {
            check_form(node, shapes.size());
            const bool reads = reads_ints(node, ints);
            Shapes x, stored;
            for (const std::int64_t value : node.inputs) x.push_back(shapes[static_cast<std::size_t>(value)]), last[value] = place;
            for (const std::string& name : node.tensors) {
                const auto found = file.tensors.find(name);
                need(found != file.tensors.end(), "there is no tensor '" + name.substr(0, 60) + "'");
                stored.emplace_back(found->second.shape.begin(), found->second.shape.end());
            }
            firsts_.push_back(static_cast<std::int64_t>(shapes.size()));
            for (Shape& shape : inferred(node, x, stored)) {
                check_shape(shape);
                work_ += 4 * known_product(shape);
                shapes.push_back(std::move(shape)), ints.push_back(reads && node.op->kind != Op::embedding);
            }
            if (node.op->kind == Op::conv1d) {
                const Shape& padding = node.list("padding");
                work_ += 4 * known_product({x[0][0], x[0][1]}) * (known_product({x[0][2]}) + static_cast<double>(padding[0] + padding[1]));
            }
            need(work_ <= kWork + kWorkPerByte * weights, "up to here a row and step take more working memory than its weights allow");
        } catch (const Misfit& error) {
            throw Misfit("node " + std::to_string(place) + ", " + node.label() + ": " + error.what());
        }
    }
    for (const std::int64_t value : outputs) {
        need(value >= 0 && value < static_cast<std::int64_t>(shapes.size()), "its outputs are not among its values");
    }
    const std::set<std::int64_t> results(outputs.begin(), outputs.end());
    ends_.resize(nodes_.size());
    for (const auto& [value, place] : last) {
        if (!results.count(value)) ends_[place].push_back(value);
    }
}

void Graph::load(const ModelFile& file) {
    std::map<std::string, std::string> forms;  // in which nodes read their weights, by prefix
    for (const Node& node : nodes_) {
        for (const std::string& name : node.tensors) {
            if (tensors_.count(name)) continue;
            const auto& shape = file.tensor(name).shape;
            const std::vector<float> numbers = restored(file, name);
            tensors_[name] = {Shape(shape.begin(), shape.end()), List<float>(numbers.begin(), numbers.end()), {}, false};
        }
        if (has_columns(node) && !columns_.count(node.tensors[0])) {
            const Array& weight = tensors_[node.tensors[0]];
            const auto rows = static_cast<std::size_t>(weight.shape[0]), width = weight.floats.size() / std::max<std::size_t>(rows, 1);
            std::vector<float>& columns = columns_[node.tensors[0]];
            columns.resize(weight.floats.size());
            for (std::size_t k = 0; k < columns.size(); ++k) columns[k % width * rows + k / width] = weight.floats[k];
        }
        carries_.push_back(over_time(node) ? state_size_ : -1);
        if (node.op->kind == Op::conv1d && over_time(node)) {
            const Shape& weight = tensors_[node.tensors[0]].shape;
            state_size_ += weight[1] * node.integer("groups") * (weight[2] - 1) * node.integer("dilation");
        }
        if (node.op->kind != Op::layer && node.op->kind != Op::cell) continue;
        const std::string& prefix = node.settings.at("prefix").text;
        const std::int64_t layers = node.op->kind == Op::layer ? node.integer("num_layers") : 1, H = node.integer("hidden_size");
        const std::int64_t projection = node.integer("proj_size");
        try {
            const Cell& cell = *cell_named(node.settings.at("cell").text);
            const Sizes sizes = checked_sizes(node.integer("input_size"), H, layers, node.integer("bias") != 0, node.integer("bidirectional") != 0,
                                              projection, cell);
            std::ostringstream form;
            form << cell.name << ' ' << sizes.C << ' ' << sizes.H << ' ' << sizes.P << ' ' << sizes.L << ' ' << sizes.D << ' ' << sizes.bias;
            need(forms.emplace(prefix, form.str()).first->second == form.str(), "another node reads its weights in another form");
            if (!layers_.count(prefix)) layers_[prefix] = Layer::read(file, prefix, sizes);
            if (over_time(node)) state_size_ += sizes.L * (sizes.P + (cell.has_memory ? sizes.H : 0));
        } catch (const std::runtime_error& error) {
            throw Misfit(node.label() + ": " + error.what());
        }
    }
    const auto reads = [this](const std::string& name) {
        return std::any_of(nodes_.begin(), nodes_.end(), [&name](const Node& node) {
            return !has_columns(node) && std::count(node.tensors.begin(), node.tensors.end(), name) > 0;
        });
    };
    for (const auto& [name, columns] : columns_) {
        if (!reads(name)) List<float>().swap(tensors_[name].floats);  // its numbers are in the columns
    }
}

std::shared_ptr<const Graph> Graph::read(const ModelFile& file) {
    require_kind(file, "graph");
    const auto graph = std::make_shared<Graph>();
    try {
        graph->parse(file.entry("graph"));
        graph->check(file);
        graph->load(file);
    } catch (const Misfit& error) {
        throw FileError(std::string("its graph is damaged: ") + error.what());
    }
    file.finish();
    graph->fingerprint_ = fingerprint_of(file.bytes, file.size);
    return graph;
}

bool Graph::over_time(const Node& node) const {
    if (node.op->kind != Op::layer && node.op->kind != Op::conv1d) return false;
    const Shape& x = shapes[static_cast<std::size_t>(node.inputs[0])];
    return x[node.op->kind == Op::conv1d ? 2 : node.integer("batch_first") ? 1 : 0] == kT;
}

bool Graph::takes(std::int64_t symbol) const {
    const auto has = [symbol](const Argument& input) { return std::count(input.shape.begin(), input.shape.end(), symbol) > 0; };
    return std::any_of(inputs.begin(), inputs.end(), has);
}

bool Graph::fits(std::int64_t T, std::int64_t N) const {
    return T >= 1 && N >= 1 && work_ / 4 * static_cast<double>(T) * static_cast<double>(N) < kMostNumbers;
}

std::string Graph::why_no_stream() const {
    const auto has = [](const Shape& shape, std::int64_t symbol) { return std::count(shape.begin(), shape.end(), symbol) > 0; };
    if (!takes(kT)) return "none of its inputs has a time axis of any length";
    std::set<std::int64_t> final, constants;  // the values that are complete only at the last step, and the constants
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
        const Node& node = nodes_[place];
        const Shape x = node.inputs.empty() ? Shape{} : shapes[static_cast<std::size_t>(node.inputs[0])];
        const std::int64_t first = firsts_[place];
        const auto end = place + 1 < nodes_.size() ? firsts_[place + 1] : static_cast<std::int64_t>(shapes.size());
        const bool runs_over = over_time(node), is_layer = runs_over && node.op->kind == Op::layer;
        const Op kind = node.op->kind;
        const Shape axes = kind == Op::softmax ? Shape{node.integer("axis")} : kind == Op::mean || kind == Op::maximum ? node.list("axes") : Shape{};
        for (const std::int64_t axis : axes) {
            if (x[static_cast<std::size_t>(axis)] == kT) return node.label() + " needs all time steps at once";
        }
        if (runs_over && takes(kN) && !has(x, kN)) return node.label() + " runs over one row, which all rows would share";
        if (is_layer && node.integer("bidirectional")) return node.label() + " is bidirectional, so it also reads from the end";
        bool reads_final = false;
        for (std::size_t k = 0; k < node.inputs.size(); ++k) {
            if (is_layer && k > 0 && !constants.count(node.inputs[k])) return node.label() + " takes its state from an argument";
            reads_final = reads_final || final.count(node.inputs[k]);
        }
        for (std::int64_t value = first; value < end; ++value) {
            const Shape& shape = shapes[static_cast<std::size_t>(value)];
            if (reads_final && (has(shape, kT) || has(shape, kNT) || has(shape, kTN))) {
                return node.label() + " reads what is known only after the last step";
            }
            if (kind == Op::constant) constants.insert(value);
            if (reads_final || kind == Op::last || (is_layer && value > first)) final.insert(value);
        }
    }
    return "";
}

}  // namespace hiddenstate::runtime
