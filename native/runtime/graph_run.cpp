// Computes the operations of a graph.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "runtime/graph.h"
#include "runtime/operations.h"

namespace hiddenstate::runtime {
namespace {

using Index = std::int64_t;

std::size_t at(Index k) { return static_cast<std::size_t>(k); }

// The product of the sizes from an axis to before another, or to the last.
Index product(const Shape& shape, Index first = 0, Index end = std::numeric_limits<Index>::max()) {
    Index result = 1;
    for (Index k = first; k < std::min(end, static_cast<Index>(shape.size())); ++k) result *= shape[at(k)];
    return result;
}

Array zeros(Shape shape) {
    const Index size = product(shape);
    return {std::move(shape), List<float>(at(size)), {}, false};
}

Shape strides_of(const Shape& shape) {
    Shape strides(shape.size(), 1);
    for (std::size_t k = shape.size(); k-- > 1;) strides[k - 1] = strides[k] * shape[k];
    return strides;
}

// Calls each(place) for every element of an array of this shape, in order, whose axes have these strides.
template <class Each>
void walk(const Shape& shape, const Shape& strides, Index start, const Each& each) {
    Shape index(shape.size());
    Index place = start;
    for (Index left = product(shape); left > 0; --left) {
        each(place);
        for (std::size_t axis = shape.size(); axis-- > 0;) {
            place += strides[axis];
            if (++index[axis] < shape[axis]) break;
            place -= strides[axis] * shape[axis], index[axis] = 0;
        }
    }
}

// The elements of x, as an array of this shape, whose axes have these strides in x.
Array gathered(const Array& x, Shape shape, const Shape& strides, Index start = 0) {
    Array y;
    y.is_ints = x.is_ints;
    const auto copy = [&](const auto& from, auto& to) {
        to.reserve(at(product(shape)));
        walk(shape, strides, start, [&](Index place) { to.push_back(from[at(place)]); });
    };
    x.is_ints ? copy(x.ints, y.ints) : copy(x.floats, y.floats);
    y.shape = std::move(shape);
    return y;
}

Array transposed(const Array& x, const Shape& order) {
    const Shape strides = strides_of(x.shape);
    Shape shape, moved;
    for (const Index axis : order) shape.push_back(x.shape[at(axis)]), moved.push_back(strides[at(axis)]);
    return gathered(x, std::move(shape), moved);
}

Array sliced(const Array& x, Index axis, Index start, Index count, Index step) {
    Shape shape = x.shape, strides = strides_of(x.shape);
    const Index begin = start * strides[at(axis)];
    shape[at(axis)] = count, strides[at(axis)] *= step;
    return gathered(x, std::move(shape), strides, begin);
}

Array padded(const Array& x, Index axis, const Shape& amount, bool reflects, float value) {
    const Index size = x.shape[at(axis)], width = size + amount[0] + amount[1];
    const Index outer = product(x.shape, 0, axis), inner = product(x.shape, axis + 1);
    Array y;
    y.shape = x.shape, y.is_ints = x.is_ints, y.shape[at(axis)] = width;
    const auto copy = [&](const auto& from, auto& to) {
        using Number = std::decay_t<decltype(from[0])>;
        to.assign(at(outer * width * inner), static_cast<Number>(value));
        for (Index k = 0; k < outer * width; ++k) {
            Index source = k % width - amount[0];
            if (reflects) source = source < 0 ? -source : source < size ? source : 2 * (size - 1) - source;
            if (source < 0 || source >= size) continue;
            std::copy_n(from.data() + (k / width * size + source) * inner, inner, to.data() + k * inner);
        }
    };
    x.is_ints ? copy(x.ints, y.ints) : copy(x.floats, y.floats);
    return y;
}

Array concatenated(const List<const Array*>& parts, Index axis) {
    Array y;
    y.shape = parts[0]->shape, y.is_ints = parts[0]->is_ints, y.shape[at(axis)] = 0;
    for (const Array* part : parts) y.shape[at(axis)] += part->shape[at(axis)];
    const Index outer = product(y.shape, 0, axis);
    const auto copy = [&](auto member) {
        for (Index k = 0; k < outer; ++k) {
            for (const Array* part : parts) {
                const Index width = product(part->shape, axis);
                const auto* const from = (part->*member).data() + k * width;
                (y.*member).insert((y.*member).end(), from, from + width);
            }
        }
    };
    y.is_ints ? copy(&Array::ints) : copy(&Array::floats);
    return y;
}

template <class Of>
Array mapped(const Array& x, const Of& of) {
    Array y = x;
    for (float& value : y.floats) value = of(value);
    return y;
}

template <class Of>
Array combined(const Array& a, const Array& b, const Of& of) {
    const std::size_t rank = std::max(a.shape.size(), b.shape.size());
    Shape shape(rank, 1), strides[2];
    for (int k = 0; k < 2; ++k) {
        const Shape& own = k == 0 ? a.shape : b.shape;
        const Shape of_own = strides_of(own);
        strides[k].assign(rank, 0);
        for (std::size_t axis = 0; axis < own.size(); ++axis) {
            if (own[axis] == 1) continue;
            shape[rank - own.size() + axis] = own[axis], strides[k][rank - own.size() + axis] = of_own[axis];
        }
    }
    Array y = zeros(shape);
    std::size_t next = 0;
    walk(shape, strides[0], 0, [&](Index place) { y.floats[next++] = a.floats[at(place)]; });
    next = 0;
    walk(shape, strides[1], 0, [&](Index place) { y.floats[next] = of(y.floats[next], b.floats[at(place)]), ++next; });
    return y;
}

// Reduces the axes; each row that is reduced lies together.
template <class Of>
Array reduced(const Array& x, const Shape& axes, bool keep, const Of& of) {
    Shape order, shape;
    for (Index axis = 0; axis < static_cast<Index>(x.shape.size()); ++axis) {
        const bool is_gone = std::count(axes.begin(), axes.end(), axis) > 0;
        if (!is_gone) order.push_back(axis);
        if (!is_gone || keep) shape.push_back(is_gone ? 1 : x.shape[at(axis)]);
    }
    order.insert(order.end(), axes.begin(), axes.end());
    const Array rows = transposed(x, order);
    Array y = zeros(std::move(shape));
    const Index width = rows.size() / y.size();
    for (Index k = 0; k < y.size(); ++k) y.floats[at(k)] = of(rows.floats.data() + k * width, width);
    return y;
}

float sum_of(const float* row, Index n) {
    double sum = 0;
    for (Index k = 0; k < n; ++k) sum += row[k];
    return static_cast<float>(sum);
}

float highest(const float* row, Index n) {  // a NaN stays
    float most = row[0];
    for (Index k = 1; k < n; ++k) most = row[k] > most || std::isnan(row[k]) ? row[k] : most;
    return most;
}

Array softmax(const Array& x, Index axis) {
    Shape order, back(x.shape.size());
    for (Index k = 0; k < static_cast<Index>(x.shape.size()); ++k) {
        if (k != axis) order.push_back(k);
    }
    order.push_back(axis);
    for (std::size_t k = 0; k < order.size(); ++k) back[at(order[k])] = static_cast<Index>(k);
    Array y = transposed(x, order);
    const Index width = y.shape.back();
    for (float* row = y.floats.data(); row != y.floats.data() + y.floats.size(); row += width) {
        const float most = highest(row, width);
        for (Index k = 0; k < width; ++k) row[k] = std::exp(row[k] - most);
        const float sum = sum_of(row, width);
        for (Index k = 0; k < width; ++k) row[k] /= sum;
    }
    return transposed(y, back);
}

Array normalised(const Array& x, Index count, float eps, const List<const Array*>& stored) {
    Array y = x;
    const Index width = product(x.shape, static_cast<Index>(x.shape.size()) - count);
    for (float* row = y.floats.data(); row != y.floats.data() + y.floats.size(); row += width) {
        double mean = 0, variance = 0;
        for (Index k = 0; k < width; ++k) mean += row[k];
        mean /= static_cast<double>(width);
        for (Index k = 0; k < width; ++k) variance += (row[k] - mean) * (row[k] - mean);
        const double factor = 1 / std::sqrt(variance / static_cast<double>(width) + eps);
        for (Index k = 0; k < width; ++k) {
            const double scaled = (row[k] - mean) * factor * (stored.empty() ? 1 : stored[0]->floats[at(k)]);
            row[k] = static_cast<float>(scaled + (stored.size() > 1 ? stored[1]->floats[at(k)] : 0));
        }
    }
    return y;
}

Array linear(const Array& x, const std::vector<float>& columns, const List<const Array*>& stored) {
    const Index rows = stored[0]->shape[0], width = stored[0]->shape[1];
    Shape shape = x.shape;
    shape.back() = rows;
    Array y = zeros(std::move(shape));
    const float* from = x.floats.data();
    for (float* to = y.floats.data(); to != y.floats.data() + y.floats.size(); to += rows, from += width) {
        if (stored.size() > 1) std::copy_n(stored[1]->floats.data(), rows, to);
        for (Index k = 0; k < width; ++k) {
            const float* column = columns.data() + k * rows;
            for (Index r = 0; r < rows; ++r) to[r] += from[k] * column[r];
        }
    }
    return y;
}

Array embedded(const Array& ids, const Array& weight, const Node& node) {
    const Index rows = weight.shape[0], width = weight.shape[1];
    Shape shape = ids.shape;
    shape.push_back(width);
    Array y = zeros(std::move(shape));
    for (Index k = 0; k < ids.size(); ++k) {
        const Index id = ids.ints[at(k)];
        if (id < 0 || id >= rows) throw std::out_of_range(node.label() + " has " + std::to_string(rows) + " rows, but is asked for " + std::to_string(id));
        std::copy_n(weight.floats.data() + id * width, width, y.floats.data() + k * width);
    }
    return y;
}

// x [N, groups * each, length], padded, to [N, out, steps]. The inner loop is over steps or, where there are fewer of them, as in a
// stream, over outputs; each sum has the same order in both.
Array convolution(const Array& x, const Node& node, const std::vector<float>& columns, const List<const Array*>& stored) {
    const Shape& weight = stored[0]->shape;
    const Index stride = node.integer("stride"), dilation = node.integer("dilation"), groups = node.integer("groups");
    const Index out = weight[0], each = weight[1], taps = weight[2], length = x.shape[2], outputs = out / groups;
    const Index steps = (length - (taps - 1) * dilation - 1) / stride + 1;
    Array y = zeros({x.shape[0], out, steps});
    List<float> sums(at(outputs));
    for (Index k = 0; k < x.shape[0] * groups; ++k) {
        const float* const from = x.floats.data() + k * each * length;
        float* const to = y.floats.data() + k * outputs * steps;
        const Index first = k % groups * outputs;
        const auto each_input = [&](const auto& add) {
            for (Index j = 0; j < each * taps; ++j) add(from + j / taps * length + j % taps * dilation, columns.data() + j * out + first);
        };
        for (Index o = 0; stored.size() > 1 && o < outputs; ++o) std::fill_n(to + o * steps, steps, stored[1]->floats[at(first + o)]);
        for (Index t = 0; steps < outputs && t < steps; ++t) {
            for (Index o = 0; o < outputs; ++o) sums[at(o)] = to[o * steps + t];
            each_input([&](const float* input, const float* column) {
                for (Index o = 0; o < outputs; ++o) sums[at(o)] += column[o] * input[t * stride];
            });
            for (Index o = 0; o < outputs; ++o) to[o * steps + t] = sums[at(o)];
        }
        for (Index o = 0; steps >= outputs && o < outputs; ++o) {
            each_input([&](const float* input, const float* column) {
                for (Index t = 0; t < steps; ++t) to[o * steps + t] += column[o] * input[t * stride];
            });
        }
    }
    return y;
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

Array gelu(const Array& x, bool rough) {
    if (rough) return mapped(x, [](float v) { return 0.5F * v * (1 + std::tanh(0.79788456F * (v + 0.044715F * v * v * v))); });
    return mapped(x, [](float v) { return 0.5F * v * (1 + std::erf(v * 0.70710678F)); });
}

}  // namespace

Index Graph::size_of(const Shape& shape, Index T, Index N) {
    Index size = 1;
    for (const Index part : shape) size *= part > 0 ? part : part == kN ? N : part == kT ? T : N * T;
    return size;
}

List<const Array*> Graph::stored(const Node& node) const {
    List<const Array*> found;
    for (const std::string& name : node.tensors) found.push_back(&tensors_.at(name));
    return found;
}

void Graph::begin(float* state) const {
    std::fill_n(state, state_size_, 0.0F);
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
        const Node& node = nodes_[place];
        if (carries_[place] < 0 || node.op->kind != Op::layer) continue;
        float* to = state + carries_[place];
        for (std::size_t k = 1; k < node.inputs.size(); ++k) {  // learned initial states, which are constants [L, 1, width]
            const auto found = std::find(firsts_.begin(), firsts_.end(), node.inputs[k]);
            const Node& constant = nodes_[at(found - firsts_.begin())];
            const Shape& shape = shapes[at(node.inputs[k])];
            std::copy_n(tensors_.at(constant.tensors.at(0)).floats.begin(), shape[0] * shape[2], to);
            to += shape[0] * shape[2];
        }
    }
}

// The output of a layer and its states, or the states of a cell.
List<Array> Graph::recurrent(std::size_t place, const List<const Array*>& x, float* carried, Workspace* workspace) const {
    const Node& node = nodes_[place];
    const Layer& layer = *layers_.at(node.settings.at("prefix").text);
    const Sizes& sizes = layer.sizes;
    const bool is_layer = node.op->kind == Op::layer, batch_first = node.integer("batch_first") != 0;
    const Array input = batch_first ? transposed(*x[0], {1, 0, 2}) : *x[0];
    runtime::Run run;
    run.T = is_layer ? input.shape[0] : 1, run.N = input.shape[is_layer ? 1 : 0], run.x = input.floats.data();
    const Index widths[] = {sizes.P, sizes.H}, parts = sizes.cell->has_memory ? 2 : 1;
    List<Array> before, results;
    results.push_back(zeros({run.T, run.N, sizes.D * sizes.P}));
    // Copies a state's parts [L, width] of each row out of what is carried, or back.
    const auto each_part = [&](const auto& copy) {
        Index begin = carries_[place];
        for (Index k = 0; k < parts; begin += sizes.L * widths[k], ++k) {
            for (Index n = 0; n < run.N; ++n) {
                for (Index l = 0; l < sizes.L; ++l) copy(k, carried + n * state_size_ + begin + l * widths[k], (l * run.N + n) * widths[k], widths[k]);
            }
        }
    };
    const bool goes_on = carried && carries_[place] >= 0;
    for (Index k = 0; k < parts; ++k) {
        results.push_back(zeros({sizes.count(), run.N, widths[k]}));
        if (goes_on) before.push_back(results.back());
        if (goes_on || x.size() == 1) continue;
        const Shape& shape = x[at(1 + k)]->shape;
        const Index rows = shape[shape.size() - 2];  // one may stand for all
        before.push_back(gathered(*x[at(1 + k)], {sizes.count(), run.N, widths[k]}, {rows * widths[k], rows == 1 ? 0 : widths[k], 1}));
    }
    if (goes_on) each_part([&](Index k, const float* from, Index to, Index n) { std::copy_n(from, n, before[at(k)].floats.data() + to); });
    run.out = results[0].floats.data(), run.h_n = results[1].floats.data(), run.c_n = parts == 2 ? results[2].floats.data() : nullptr;
    if (!before.empty()) run.h0 = before[0].floats.data(), run.c0 = parts == 2 ? before[1].floats.data() : nullptr;
    if (workspace && sizes.D == 1) {
        std::unique_ptr<Stream>& stream = workspace->streams[place];
        if (!stream || stream->N < run.N) stream = layer.stream(run.N);
        stream->run(run);
    } else {
        layer.run(run);
    }
    if (goes_on) each_part([&](Index k, float* to, Index from, Index n) { std::copy_n(results[at(1 + k)].floats.data() + from, n, to); });
    if (batch_first) results[0] = transposed(results[0], {1, 0, 2});
    if (is_layer) return results;
    results.erase(results.begin());
    for (Array& state : results) state.shape.erase(state.shape.begin());
    return results;
}

Array Graph::convolved(std::size_t place, const Array& x, float* carried) const {
    const Node& node = nodes_[place];
    Array wide = padded(x, 2, node.list("padding"), false, 0);
    const bool goes_on = carried && carries_[place] >= 0;
    const Index reach = node.list("padding")[0], channels = x.shape[1], length = wide.shape[2];
    for (Index k = 0; goes_on && k < x.shape[0] * channels; ++k) {
        float* const past = carried + k / channels * state_size_ + carries_[place] + k % channels * reach;
        float* const row = wide.floats.data() + k * length;
        std::copy_n(past, reach, row);
        std::copy_n(row + length - reach, reach, past);
    }
    return convolution(wide, node, columns_.at(node.tensors[0]), stored(node));
}

Array Graph::compute(std::size_t place, const List<const Array*>& inputs, Index T, Index N, float* carried) const {
    const Node& node = nodes_[place];
    const List<const Array*> tensors = stored(node);
    const Array* const x = inputs.empty() ? nullptr : inputs[0];
    const auto axis = [&node] { return node.integer("axis"); };
    const auto number = [&node](const char* key) { return static_cast<float>(node.settings.at(key).number); };
    switch (node.op->kind) {
        case Op::layer:
        case Op::cell: break;  // recurrent
        case Op::linear: return linear(*x, columns_.at(node.tensors[0]), tensors);
        case Op::embedding: return embedded(*x, *tensors[0], node);
        case Op::conv1d: return convolved(place, *x, carried);
        case Op::pad: return padded(*x, axis(), node.list("amount"), node.settings.at("mode").text == "reflect", number("value"));
        case Op::layer_norm: return normalised(*x, node.integer("count"), number("eps"), tensors);
        case Op::relu: return mapped(*x, [](float v) { return v < 0 ? 0 : v; });
        case Op::silu: return mapped(*x, [](float v) { return v * sigmoid(v); });
        case Op::tanh: return mapped(*x, [](float v) { return std::tanh(v); });
        case Op::sigmoid: return mapped(*x, sigmoid);
        case Op::sqrt: return mapped(*x, [](float v) { return std::sqrt(v); });
        case Op::elu: return mapped(*x, [alpha = number("alpha")](float v) { return v > 0 ? v : alpha * std::expm1(v); });
        case Op::gelu: return gelu(*x, node.integer("tanh") != 0);
        case Op::softmax: return softmax(*x, axis());
        case Op::add: return combined(*x, *inputs[1], [](float a, float b) { return a + b; });
        case Op::subtract: return combined(*x, *inputs[1], [](float a, float b) { return a - b; });
        case Op::multiply: return combined(*x, *inputs[1], [](float a, float b) { return a * b; });
        case Op::divide: return combined(*x, *inputs[1], [](float a, float b) { return a / b; });
        case Op::concatenate: return concatenated(inputs, axis());
        case Op::slice: {
            const Index start = node.integer("start"), step = node.integer("step");
            return sliced(*x, axis(), start, (node.integer("stop") - start - 1) / step + 1, step);
        }
        case Op::last: {
            Array y = sliced(*x, axis(), x->shape[at(axis())] - 1, 1, 1);
            y.shape.erase(y.shape.begin() + static_cast<std::ptrdiff_t>(axis()));
            return y;
        }
        case Op::reshape: {
            Array y = *x;
            y.shape.clear();
            for (const Index size : node.list("shape")) y.shape.push_back(size_of({size}, T, N));
            return y;
        }
        case Op::transpose: return transposed(*x, node.list("order"));
        case Op::mean:
            return reduced(*x, node.list("axes"), node.integer("keep") != 0,
                           [](const float* row, Index n) { return sum_of(row, n) / static_cast<float>(n); });
        case Op::maximum: return reduced(*x, node.list("axes"), node.integer("keep") != 0, highest);
        case Op::constant: return tensors.empty() ? Array{{}, {number("value")}, {}, false} : *tensors[0];
    }
    return {};
}

List<Array> Graph::run(List<Array> arguments, Index T, Index N, float* carried, Workspace* workspace) const {
    List<Array> values = std::move(arguments);
    values.resize(shapes.size());
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
        List<const Array*> inputs;
        for (const Index value : nodes_[place].inputs) inputs.push_back(&values[at(value)]);
        Array* const first = values.data() + firsts_[place];
        if (nodes_[place].op->kind == Op::layer || nodes_[place].op->kind == Op::cell) {
            List<Array> results = recurrent(place, inputs, carried, workspace);
            std::move(results.begin(), results.end(), first);
        } else {
            *first = compute(place, inputs, T, N, carried);
        }
        for (const Index value : ends_[place]) values[at(value)] = Array();
    }
    return values;
}

}  // namespace hiddenstate::runtime
