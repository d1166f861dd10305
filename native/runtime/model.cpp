#include "runtime/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <type_traits>

#include "kernel/scan.h"
#include "runtime/json.h"

namespace hiddenstate::runtime {
namespace {

// Sizes are those of models/model_file.py.
constexpr std::int64_t kLargestSize = 1 << 24, kMostLayers = 1 << 12, kMostRows = 1 << 24;

// Limits for int8 weights, as in engine/weights.py: with fewer units, float32 is as fast; with more columns, an int32 sum could overflow.
constexpr std::int64_t kFewestInt8Units = 32, kMostInt8Columns = std::numeric_limits<std::int32_t>::max() / (127 * 127);

void convert(const float* from, std::int64_t count, float* to) {
    if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

// Rounds to the nearest value, ties to even, as torch does.
void convert(const float* from, std::int64_t count, bfloat16* to) {
    for (std::int64_t k = 0; k < count; ++k) {
        std::uint32_t bits;
        std::memcpy(&bits, from + k, sizeof bits);
        const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
        to[k].bits = is_nan ? 0x7FC0 : static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }
}

void convert(const bfloat16* from, std::int64_t count, float* to) {
    for (std::int64_t k = 0; k < count; ++k) {
        const std::uint32_t bits = static_cast<std::uint32_t>(from[k].bits) << 16;
        std::memcpy(to + k, &bits, sizeof bits);
    }
}

struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

template <class T>
std::unique_ptr<T, Free> aligned(std::int64_t bytes) {
    return std::unique_ptr<T, Free>(static_cast<T*>(::operator new(static_cast<std::size_t>(bytes), std::align_val_t{64})));
}

// The weights of a layer and direction as stored in a file.
struct Floats {
    std::vector<float> ih, hh, b_ih, b_hh, hr;
};

std::vector<float> values_of(const ModelFile& file, const std::string& name, const std::vector<std::int64_t>& shape) {
    file.tensor(name, shape);
    return restored(file, name);
}

Floats read_weights(const ModelFile& file, const std::string& prefix, const Sizes& sizes, std::int64_t k) {
    const std::int64_t layer = k / sizes.D, rows = sizes.cell->gates * sizes.H;
    const bool reverse = sizes.D == 2 && k % 2 == 1;
    const std::string suffix = "_l" + std::to_string(layer) + (reverse ? "_reverse" : "");
    Floats found;
    found.ih = values_of(file, prefix + "weight_ih" + suffix, {rows, sizes.features(layer)});
    found.hh = values_of(file, prefix + "weight_hh" + suffix, {rows, sizes.P});
    if (sizes.bias) {
        found.b_ih = values_of(file, prefix + "bias_ih" + suffix, {rows});
        found.b_hh = values_of(file, prefix + "bias_hh" + suffix, {rows});
    }
    if (sizes.P != sizes.H) found.hr = values_of(file, prefix + "weight_hr" + suffix, {sizes.P, sizes.H});
    return found;
}

// Whether the int8 scan of one instruction set is faster than the float scan of another; see engine/kernels.py.
bool is_faster(const std::string& int8, const std::string& floats) {
    if (int8 == "avx2" || int8 == "avx_vnni") return floats == "avx2";
    if (int8 == "neon_dotprod") return floats == "neon";
    return floats == "avx512";
}

// The scan for int8 weights, or the float scan if that is as fast or the only one available.
const Scan<F32>& scan_for_int8(const Sizes& sizes) {
    const Scan<F32>& floats = *scans<F32>(sizes.cell->kind).back();
    const std::int64_t columns = std::max(sizes.C, sizes.D * sizes.H);
    if (sizes.P != sizes.H || sizes.H < kFewestInt8Units || columns > kMostInt8Columns) return floats;
    const Scan<F32>* found = &floats;
    for (const Scan<F32>* scan : scans_int8(sizes.cell->kind)) {
        if (is_faster(scan->isa, floats.isa)) found = scan;
    }
    return *found;
}

template <class P>
class LayerOf;

// A stream that keeps one call, whose memory every step reuses, so that a step allocates nothing.
template <class P>
class StreamOf final : public Stream {
    using element = typename P::element;
    using real = typename P::real;
    static constexpr bool kConverts = !std::is_same_v<element, float>;

public:
    StreamOf(std::shared_ptr<const LayerOf<P>> of, std::int64_t N)
        : Stream(of, N), of_(*of), h_(numbers(N * of->sizes.P)), c_(of->sizes.cell->has_memory ? numbers(N * of->sizes.H) : 0), scratch_(size(N * of->sizes.H)),
          x_(kConverts ? size(N * of->sizes.C) : 0), out_(kConverts ? size(N * of->sizes.P) : 0) {
        call_ = of_.call(1, N);
        if (of_.steps()) {
            call_.packed = of_.packed(scratch_.data(), N);
            call_.h0 = call_.h_n = h_.data(), call_.c0 = call_.c_n = at(c_);
        }
    }

    void step(const float* x, const std::int64_t* rows, std::int64_t count, float* out) override {
        if (!of_.steps()) return step_of_run(x, rows, count, out);
        call_.packed.rows = rows, call_.packed.batch = N, call_.N = rows ? count : N;
        advance(x, out);
    }

    void run(const Run& run) override {
        if (!of_.steps()) return of_.run(run);
        const Sizes& sizes = of_.sizes;
        const std::int64_t rows = sizes.L * run.N;
        run.h0 ? convert(run.h0, rows * sizes.P, h_.data()) : void(std::fill_n(h_.data(), rows * sizes.P, element{}));
        if (sizes.cell->has_memory) run.c0 ? convert(run.c0, rows * sizes.H, c_.data()) : void(std::fill_n(c_.data(), rows * sizes.H, real{}));
        call_.packed.rows = nullptr, call_.packed.batch = call_.N = run.N;
        for (std::int64_t t = 0; t < run.T; ++t) advance(run.x + t * run.N * sizes.C, run.out + t * run.N * sizes.P);
        convert(h_.data(), rows * sizes.P, run.h_n);
        if (run.c_n) convert(c_.data(), rows * sizes.H, run.c_n);
    }

    void feed(Run run) override {
        std::vector<float> h(h_.size()), c(c_.size()), h_n(h_.size()), c_n(c_.size());
        read_state(h.data(), at(c));
        run.N = N, run.h0 = h.data(), run.c0 = at(c), run.h_n = h_n.data(), run.c_n = at(c_n);
        of_.run(run);
        write_state(h_n.data(), at(c_n));
    }

    void reset(const std::int64_t* rows, std::int64_t count) override {
        const Sizes& sizes = of_.sizes;
        for (std::int64_t layer = 0; layer < sizes.L; ++layer) {
            for (std::int64_t k = 0; k < (rows ? count : N); ++k) {
                const std::int64_t at = layer * N + (rows ? rows[k] : k);
                std::fill_n(h_.data() + at * sizes.P, sizes.P, element{});
                if (sizes.cell->has_memory) std::fill_n(c_.data() + at * sizes.H, sizes.H, real{});
            }
        }
    }

    void read_state(float* h, float* c) const override {
        convert(h_.data(), static_cast<std::int64_t>(h_.size()), h), convert(c_.data(), static_cast<std::int64_t>(c_.size()), c);
    }

    void write_state(const float* h, const float* c) override {
        convert(h, static_cast<std::int64_t>(h_.size()), h_.data()), convert(c, static_cast<std::int64_t>(c_.size()), c_.data());
    }

private:
    static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }
    // A pointer to the first element, or null if there are none.
    template <class T>
    static T* at(std::vector<T>& numbers) {
        return numbers.empty() ? nullptr : numbers.data();
    }

    // Runs one step of the rows that the call names.
    void advance(const float* x, float* out) {
        call_.packed.from_last = !call_.packed.from_last;
        if constexpr (kConverts) {
            convert(x, call_.N * of_.sizes.C, x_.data());
            call_.x = x_.data(), call_.out = out_.data();
            of_.scan().forward(call_);
            convert(out_.data(), call_.N * of_.sizes.P, out);
        } else {
            call_.x = x, call_.out = out;
            of_.scan().forward(call_);
        }
    }

    std::size_t numbers(std::int64_t of_row) const { return size(layer->sizes.L * of_row); }

    // A projection rules out packed steps, so this runs a sequence of one step, with the rows copied out and back.
    void step_of_run(const float* x, const std::int64_t* rows, std::int64_t count, float* out) {
        const Sizes& sizes = of_.sizes;
        const std::int64_t n = rows ? count : N;
        std::vector<float> h(size(sizes.L * n * sizes.P)), c(size(sizes.L * n * sizes.H)), h_n(h.size()), c_n(c.size());
        const auto each = [&](const auto& copy) {
            for (std::int64_t layer = 0; layer < sizes.L; ++layer) {
                for (std::int64_t k = 0; k < n; ++k) copy(layer * N + (rows ? rows[k] : k), layer * n + k);
            }
        };
        each([&](std::int64_t from, std::int64_t to) {
            convert(h_.data() + from * sizes.P, sizes.P, h.data() + to * sizes.P);
            convert(c_.data() + from * sizes.H, sizes.H, c.data() + to * sizes.H);
        });
        Run run;
        run.T = 1, run.N = n, run.x = x, run.h0 = h.data(), run.c0 = c.data(), run.out = out, run.h_n = h_n.data(), run.c_n = c_n.data();
        of_.run(run);
        each([&](std::int64_t to, std::int64_t from) {
            convert(h_n.data() + from * sizes.P, sizes.P, h_.data() + to * sizes.P);
            convert(c_n.data() + from * sizes.H, sizes.H, c_.data() + to * sizes.H);
        });
    }

    const LayerOf<P>& of_;
    std::vector<element> h_;  // [L, N, P]
    std::vector<real> c_;     // [L, N, H]
    std::vector<element> scratch_, x_, out_;
    Call<P> call_;
};

template <class P>
class LayerOf final : public Layer {
    using element = typename P::element;
    using real = typename P::real;

public:
    LayerOf(const Scan<P>& scan, const Sizes& sizes, const std::vector<Floats>& weights, const char* precision)
        : Layer(sizes, scan.isa, precision), scan_(scan), kept_(weights.size()) {
        for (std::size_t k = 0; k < weights.size(); ++k) kept_[k].take(weights[k]);
        if (sizes.P == sizes.H) pack();
    }

    const Scan<P>& scan() const { return scan_; }

    // Whether single steps run on packed weights.
    bool steps() const { return sizes.D == 1 && weights_ != nullptr; }

    Packed<P> packed(element* scratch, std::int64_t N) const { return {weights_.get(), bias_.get(), scratch, nullptr, N}; }

    Call<P> call(std::int64_t T, std::int64_t N) const {
        Call<P> call;
        call.T = T, call.N = N, call.C = sizes.C, call.H = sizes.H, call.P = sizes.P, call.directions = sizes.D, call.relu = scan_.relu;
        call.x_row = sizes.C, call.x_step = N * sizes.C;
        call.layers.resize(static_cast<std::size_t>(sizes.count()));
        const unsigned char* at = static_cast<const unsigned char*>(weights_.get());
        for (std::size_t k = 0; k < kept_.size(); ++k) {
            Weights<P>& weights = call.layers[k].weights;
            weights = kept_[k].as_weights();
            if (!at) continue;
            weights.packed = at, weights.packed_bias = bias_.get() + static_cast<std::int64_t>(k) * scan_.packed_bias_size(sizes.H);
            at += scan_.packed_bytes(features(k), sizes.H);
        }
        return call;
    }

    void run(const Run& run) const override {
        Call<P> call = this->call(run.T, run.N);
        const std::int64_t rows = sizes.count() * run.N, steps = run.T * run.N, width = sizes.D * sizes.P;
        Converted<element> converted;
        call.x = converted.input(run.x, steps * sizes.C);
        call.h0 = converted.input(run.h0, rows * sizes.P), call.c0 = run.c0;
        call.lengths = run.lengths, call.threads = run.threads;
        call.out = converted.output(run.out, steps * width), call.h_n = converted.output(run.h_n, rows * sizes.P), call.c_n = run.c_n;
        for (std::size_t k = 0; k < call.layers.size(); ++k) {
            const auto before = static_cast<std::int64_t>(k) * steps * sizes.H;
            LayerDirection<P>& layer = call.layers[k];
            layer.edits = run.edits.empty() ? nullptr : run.edits[k];
            layer.gates = run.gates ? run.gates + sizes.cell->record * before : nullptr;
            layer.raw_gates = nullptr;
            layer.c = run.cells ? run.cells + before : nullptr;
        }
        for (std::int64_t layer = 0; run.hidden && layer + 1 < sizes.L; ++layer) {
            call.layer_outputs.push_back(converted.output(run.hidden + layer * steps * width, steps * width));
        }
        scan_.forward(call);
        converted.finish();
        if (run.hidden) convert(run.out, steps * width, run.hidden + (sizes.L - 1) * steps * width);
    }

    std::unique_ptr<Stream> stream(std::int64_t N) const override {
        if (sizes.D == 2) throw std::invalid_argument("a bidirectional layer also reads from the end, so it can't be streamed");
        if (N < 1 || N > kMostRows) throw std::bad_alloc();  // the number of elements could overflow
        return std::make_unique<StreamOf<P>>(std::static_pointer_cast<const LayerOf>(shared_from_this()), N);
    }

private:
    // Weights in the number type that the scan reads.
    struct Kept {
        std::vector<element> ih, hh, hr;
        std::vector<real> b_ih, b_hh;

        void take(const Floats& from) {
            const auto each = [](const std::vector<float>& values, auto& to) {
                to.resize(values.size());
                convert(values.data(), static_cast<std::int64_t>(values.size()), to.data());
            };
            each(from.ih, ih), each(from.hh, hh), each(from.hr, hr);
            b_ih = from.b_ih, b_hh = from.b_hh;
        }

        Weights<P> as_weights() const {
            const auto at = [](const auto& values) { return values.empty() ? nullptr : values.data(); };
            return {at(ih), at(hh), at(b_ih), at(b_hh), at(hr)};
        }
    };

    // Inputs and outputs in the number type that the scan uses: the caller's arrays, or copies.
    template <class E>
    struct Converted {
        struct Output {
            std::vector<E> values;
            float* to;
        };
        std::vector<std::vector<E>> inputs;
        std::vector<Output> outputs;

        const E* input(const float* from, std::int64_t count) {
            if constexpr (std::is_same_v<E, float>) return from;
            if (!from) return nullptr;
            inputs.emplace_back(static_cast<std::size_t>(count));
            convert(from, count, inputs.back().data());
            return inputs.back().data();
        }

        E* output(float* to, std::int64_t count) {
            if constexpr (std::is_same_v<E, float>) return to;
            outputs.push_back({std::vector<E>(static_cast<std::size_t>(count)), to});
            return outputs.back().values.data();
        }

        void finish() const {
            for (const Output& one : outputs) convert(one.values.data(), static_cast<std::int64_t>(one.values.size()), one.to);
        }
    };

    std::int64_t features(std::size_t k) const { return sizes.features(static_cast<std::int64_t>(k) / sizes.D); }

    // Packs all layers once, after which the unpacked weights are no longer needed.
    void pack() {
        const std::int64_t of_bias = scan_.packed_bias_size(sizes.H), reals = sizes.count() * of_bias;
        std::int64_t bytes = 0;
        for (std::size_t k = 0; k < kept_.size(); ++k) bytes += scan_.packed_bytes(features(k), sizes.H);
        auto weights = aligned<void>(bytes);
        bias_ = aligned<real>(reals * static_cast<std::int64_t>(sizeof(real)));
        auto* to = static_cast<unsigned char*>(weights.get());
        for (std::size_t k = 0; k < kept_.size(); ++k) {
            scan_.pack(kept_[k].as_weights(), features(k), sizes.H, 1, to, bias_.get() + static_cast<std::int64_t>(k) * of_bias);
            to += scan_.packed_bytes(features(k), sizes.H);
            kept_[k] = Kept();
        }
        weights_ = std::move(weights);
    }

    const Scan<P>& scan_;
    std::vector<Kept> kept_;
    std::unique_ptr<void, Free> weights_;
    std::unique_ptr<real, Free> bias_;
};

// An integer in the metadata.
std::int64_t number_named(const ModelFile& file, const std::string& name) {
    const std::string& text = file.entry(name);
    const bool is_number = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) throw FileError("the model file says " + name + " = '" + text.substr(0, 20) + "', expected a whole number");
    return std::stoll(text);
}

// A yes/no option in the metadata.
bool flag_named(const ModelFile& file, const std::string& name) {
    const std::string& text = file.entry(name);
    if (text != "0" && text != "1") throw FileError("the model file says " + name + " = '" + text.substr(0, 20) + "', expected 0 or 1");
    return text == "1";
}

// The scales of a matrix's rows: those of a quantised LSTM, which are 0 for a row of zeros, or of a model that is only stored as int8.
std::vector<float> scales_of(const ModelFile& file, const std::string& name, std::int64_t rows) {
    const bool quantised = file.tensors.count(name + "_scale") > 0;
    const std::string beside = name + (quantised ? "_scale" : ".scale");
    const Tensor& tensor = file.tensor(beside, {rows});
    const bool is_float = tensor.type == Type::F32 || (quantised && tensor.type == Type::BF16);
    std::vector<float> scales = is_float ? tensor.floats() : std::vector<float>{-1};
    const auto fits = [quantised](float scale) { return std::isfinite(scale) && (quantised ? scale >= 0 : scale > 0); };
    if (!std::all_of(scales.begin(), scales.end(), fits)) damaged("tensor '" + beside + "' does not hold a positive number for each row");
    return scales;
}

// Requires the tensors of a layer's file to be of one type, float32 or bfloat16. The matrices may be int8, with scales.
void check_types(const ModelFile& file) {
    const bool int8 = file.tensors.count("weight_ih_l0_scale") > 0;
    std::optional<Type> floats;
    for (const auto& [name, tensor] : file.tensors) {
        if (int8 && file.tensors.count(name + "_scale")) {
            if (tensor.type != Type::I8) damaged("matrix '" + name + "' has scales, but is not int8");
        } else if ((tensor.type != Type::F32 && tensor.type != Type::BF16) || (floats && floats != tensor.type)) {
            damaged("tensor '" + name + "' has another type than the others, or neither F32 nor BF16");
        } else {
            floats = tensor.type;
        }
    }
}

void require_within(const char* name, std::int64_t value, std::int64_t least, std::int64_t most) {
    if (least <= value && value <= most) return;
    throw FileError("the model file says " + std::string(name) + " = " + std::to_string(value) + ", expected " + std::to_string(least) + " to " +
                    std::to_string(most));
}

}  // namespace

Sizes checked_sizes(std::int64_t input_size, std::int64_t hidden_size, std::int64_t num_layers, bool bias, bool bidirectional,
                    std::int64_t proj_size, const Cell& cell) {
    require_within("input_size", input_size, 1, kLargestSize), require_within("hidden_size", hidden_size, 1, kLargestSize);
    require_within("num_layers", num_layers, 1, kMostLayers), require_within("proj_size", proj_size, 0, cell.has_memory ? hidden_size - 1 : 0);
    Sizes sizes;
    sizes.cell = &cell;
    sizes.C = input_size, sizes.H = hidden_size, sizes.P = proj_size ? proj_size : hidden_size;
    sizes.L = num_layers, sizes.D = bidirectional ? 2 : 1, sizes.bias = bias;
    return sizes;
}

void require_kind(const ModelFile& file, const char* expected) {
    const std::string &format = file.entry("format"), &kind = file.entry("kind");
    if (format != "hiddenstate.model/1") throw FileError("the model file has the format '" + format.substr(0, 40) + "', expected 'hiddenstate.model/1'");
    if (kind == expected) return;
    const char* const reader = kind == "layer" ? ": hs_model_load reads it" : kind == "tagger" ? ": hs_tagger_load reads it"
                               : kind == "graph" ? ": hs_graph_load reads it" : "";
    throw FileError("the model file holds a " + kind.substr(0, 20) + ", expected a " + expected + reader);
}

std::vector<float> restored(const ModelFile& file, const std::string& name) {
    const Tensor& tensor = file.tensor(name);
    std::vector<float> values = tensor.floats();
    if (tensor.type == Type::I8) {
        if (tensor.shape.size() < 2) damaged("tensor '" + name + "' is int8, but no matrix");
        const std::vector<float> scales = scales_of(file, name, tensor.shape[0]);
        for (std::size_t k = 0; k < values.size(); ++k) values[k] *= scales[k / (values.size() / scales.size())];
    }
    if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
        damaged("tensor '" + name + "' has numbers that are not finite");
    }
    return values;
}

namespace {

// The sizes of a file's layer, from its metadata.
Sizes read_sizes(const ModelFile& file) {
    require_kind(file, "layer");
    const std::string& cell = file.entry("cell");
    const Cell* const found = cell_named(cell);
    if (!found) {
        std::string known;
        for (const Cell& one : kCells) known += (known.empty() ? "" : ", ") + std::string(one.name);
        throw FileError("the model file holds a cell '" + cell.substr(0, 20) + "', and this version runs " + known);
    }
    if (file.entry("gates") != found->order) throw FileError(std::string("the model file stacks its gates in an order other than ") + found->order);
    const auto number = [&file](const char* name) { return number_named(file, name); };
    const auto flag = [&file](const char* name) { return flag_named(file, name); };
    if (file.metadata.count("batch_first")) flag("batch_first");
    return checked_sizes(number("input_size"), number("hidden_size"), number("num_layers"), flag("bias"), flag("bidirectional"),
                         number("proj_size"), *found);
}

}  // namespace

std::shared_ptr<const Layer> Layer::read(const ModelFile& file) {
    const Sizes sizes = read_sizes(file);
    check_types(file);
    std::shared_ptr<const Layer> layer = read(file, "", sizes);
    file.finish();
    return layer;
}

std::shared_ptr<const Layer> Layer::read(const ModelFile& file, const std::string& prefix, const Sizes& sizes) {
    const std::string first = prefix + "weight_ih_l0";
    const auto found = file.tensors.find(first);
    const Type type = found == file.tensors.end() ? Type::F32 : found->second.type;
    // A quantised layer computes in int8; one that is only stored as int8 is read as float32.
    const bool int8 = type == Type::I8 && file.tensors.count(first + "_scale") > 0;
    std::vector<Floats> weights;
    for (std::int64_t k = 0; k < sizes.count(); ++k) weights.push_back(read_weights(file, prefix, sizes, k));
    if (type == Type::BF16) return std::make_shared<LayerOf<BF16>>(*scans<BF16>(sizes.cell->kind).back(), sizes, weights, "bfloat16");
    const Scan<F32>& scan = int8 ? scan_for_int8(sizes) : *scans<F32>(sizes.cell->kind).back();
    return std::make_shared<LayerOf<F32>>(scan, sizes, weights, int8 ? "int8" : "float32");
}

}  // namespace hiddenstate::runtime
