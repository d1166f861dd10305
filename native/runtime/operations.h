// The operations of graphs.
#pragma once

#include <cstddef>
#include <string>

namespace hiddenstate::runtime {

enum class Op {
    layer, cell, linear, embedding, conv1d, pad, layer_norm, relu, silu, tanh, sigmoid, sqrt, elu, gelu, softmax, add, subtract, multiply,
    divide, concatenate, slice, last, reshape, transpose, mean, maximum, constant
};

// The fewest and most inputs and tensors of an operation, and the kinds of its settings: i integer, n number, b flag, t text, c cell,
// l list of integers, s shape.
struct Operation {
    const char* name;
    Op kind;
    std::size_t inputs[2], tensors[2];
    const char* settings;
    bool reads_ints = false;
};

inline const Operation* operation_named(const std::string& name) {
    static const Operation kOperations[] = {
        {"layer", Op::layer, {1, 3}, {0, 0},
         "prefix t cell c input_size i hidden_size i bias b num_layers i proj_size i bidirectional b batch_first b"},
        {"cell", Op::cell, {1, 3}, {0, 0}, "prefix t cell c input_size i hidden_size i bias b"},
        {"linear", Op::linear, {1, 1}, {1, 2}, ""},
        {"embedding", Op::embedding, {1, 1}, {1, 1}, "", true},
        {"conv1d", Op::conv1d, {1, 1}, {1, 2}, "stride i dilation i groups i padding l"},
        {"pad", Op::pad, {1, 1}, {0, 0}, "axis i amount l mode t value n", true},
        {"layer_norm", Op::layer_norm, {1, 1}, {0, 2}, "count i eps n"},
        {"relu", Op::relu, {1, 1}, {0, 0}, ""},
        {"silu", Op::silu, {1, 1}, {0, 0}, ""},
        {"tanh", Op::tanh, {1, 1}, {0, 0}, ""},
        {"sigmoid", Op::sigmoid, {1, 1}, {0, 0}, ""},
        {"sqrt", Op::sqrt, {1, 1}, {0, 0}, ""},
        {"elu", Op::elu, {1, 1}, {0, 0}, "alpha n"},
        {"gelu", Op::gelu, {1, 1}, {0, 0}, "tanh b"},
        {"softmax", Op::softmax, {1, 1}, {0, 0}, "axis i"},
        {"add", Op::add, {2, 2}, {0, 0}, ""},
        {"subtract", Op::subtract, {2, 2}, {0, 0}, ""},
        {"multiply", Op::multiply, {2, 2}, {0, 0}, ""},
        {"divide", Op::divide, {2, 2}, {0, 0}, ""},
        {"concatenate", Op::concatenate, {1, 4096}, {0, 0}, "axis i", true},
        {"slice", Op::slice, {1, 1}, {0, 0}, "axis i start i stop i step i", true},
        {"last", Op::last, {1, 1}, {0, 0}, "axis i", true},
        {"reshape", Op::reshape, {1, 1}, {0, 0}, "shape s", true},
        {"transpose", Op::transpose, {1, 1}, {0, 0}, "order l", true},
        {"mean", Op::mean, {1, 1}, {0, 0}, "axes l keep b"},
        {"maximum", Op::maximum, {1, 1}, {0, 0}, "axes l keep b"},
        {"constant", Op::constant, {0, 0}, {0, 1}, "value n"},
    };
    for (const Operation& operation : kOperations) {
        if (name == operation.name) return &operation;
    }
    return nullptr;
}

}  // namespace hiddenstate::runtime
