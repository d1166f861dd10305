// The Python module hiddenstate_runtime._native, for NumPy arrays. It checks the size of every array; the Python package checks the values
// and words the messages for users.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model.h"
#include "threads/thresholds.h"

namespace nb = nanobind;

namespace hiddenstate::runtime {
namespace {

using Floats = nb::ndarray<float, nb::numpy, nb::c_contig, nb::device::cpu>;
using Given = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const std::int64_t, nb::c_contig, nb::device::cpu>;

[[noreturn]] void refuse(const char* name, std::int64_t expected, std::size_t got) {
    throw nb::value_error((std::string(name) + " has " + std::to_string(got) + " numbers, expected " + std::to_string(expected)).c_str());
}

// A pointer to the first element of an array that must have `count` elements, or null for None.
template <class Array>
auto* first(const char* name, nb::handle value, std::int64_t count) {
    using T = std::remove_reference_t<decltype(*std::declval<Array>().data())>;
    if (value.is_none()) return static_cast<T*>(nullptr);
    const auto array = nb::cast<Array>(value);
    if (array.size() != static_cast<std::size_t>(count)) refuse(name, count, array.size());
    return static_cast<T*>(array.data());
}

template <class Array>
auto* needed(const char* name, nb::handle value, std::int64_t count) {
    auto* found = first<Array>(name, value, count);
    if (!found && count > 0) refuse(name, count, 0);
    return found;
}

// Reads the edits of a layer and direction: tuples (place, kind, value [steps, rows, units], steps, rows, units).
std::unique_ptr<Edits<float>> read_edits(nb::handle edits, std::int64_t rows) {
    auto found = std::make_unique<Edits<float>>(rows);
    for (const nb::handle edit : edits) {
        const auto parts = nb::borrow<nb::tuple>(edit);
        const auto chosen = [&](int k) {
            std::vector<std::int32_t> numbers;
            for (const nb::handle one : parts[k]) numbers.push_back(nb::cast<std::int32_t>(one));
            return numbers;
        };
        const std::vector<std::int32_t> steps = chosen(3), at = chosen(4), units = chosen(5);
        const auto count = static_cast<std::int64_t>(steps.size() * at.size() * units.size());
        const auto width = static_cast<std::int64_t>(units.size()), step = static_cast<std::int64_t>(at.size()) * width;
        const float* value = needed<Given>("an edit's value", parts[2], count);
        found->add(static_cast<Place>(nb::cast<int>(parts[0])), static_cast<Kind>(nb::cast<int>(parts[1])), value, step, width, 1, steps, at, units);
    }
    return found;
}

// `arrays`: x, h0, c0, lengths, out, h_n, c_n, gates, cells, hidden, as in `Run`; None for those that may be null. `edits`: None, or a list
// for each layer and direction. The arrays are accessed without the GIL, so they must not change meanwhile.
Run read_run(const Sizes& sizes, nb::tuple arrays, std::int64_t T, std::int64_t N, int threads) {
    const std::int64_t steps = T * N, rows = sizes.count() * N, width = sizes.D * sizes.P;
    Run run;
    run.T = T, run.N = N;
    run.threads = threads_worth_waking(T, N, sizes.C, sizes.H, threads);
    run.x = needed<Given>("x", arrays[0], steps * sizes.C);
    run.h0 = first<Given>("h0", arrays[1], rows * sizes.P);
    if (sizes.cell->has_memory) run.c0 = first<Given>("c0", arrays[2], rows * sizes.H);
    run.lengths = first<Numbers>("lengths", arrays[3], N);
    run.out = needed<Floats>("out", arrays[4], steps * width);
    run.h_n = first<Floats>("h_n", arrays[5], rows * sizes.P);
    if (sizes.cell->has_memory) run.c_n = first<Floats>("c_n", arrays[6], rows * sizes.H);
    run.gates = first<Floats>("gates", arrays[7], sizes.count() * steps * sizes.cell->record * sizes.H);
    if (sizes.cell->has_memory) run.cells = first<Floats>("cells", arrays[8], sizes.count() * steps * sizes.H);
    run.hidden = first<Floats>("hidden", arrays[9], sizes.L * steps * width);
    return run;
}

// A layer that Python holds.
struct SharedLayer {
    std::shared_ptr<const Layer> layer;
};

void run_layer(const SharedLayer& of, nb::tuple arrays, std::int64_t T, std::int64_t N, nb::handle edits, int threads) {
    const Layer& layer = *of.layer;
    Run run = read_run(layer.sizes, arrays, T, N, threads);
    std::vector<std::unique_ptr<Edits<float>>> kept;
    if (!edits.is_none()) {
        for (const nb::handle of_layer : edits) {
            kept.push_back(nb::len(of_layer) ? read_edits(of_layer, N) : nullptr);
            run.edits.push_back(kept.back().get());
        }
        if (run.edits.size() != static_cast<std::size_t>(layer.sizes.count())) refuse("edits", layer.sizes.count(), run.edits.size());
    }
    const nb::gil_scoped_release released;
    layer.run(run);
}

// A model file together with its bytes.
class File {
public:
    explicit File(nb::bytes bytes)
        : bytes_(std::move(bytes)), file_(ModelFile::parse(static_cast<const unsigned char*>(bytes_.data()), bytes_.size())) {}

    nb::dict metadata() const {
        nb::dict found;
        for (const auto& [name, value] : file_.metadata) found[nb::str(name.data(), name.size())] = nb::str(value.data(), value.size());
        return found;
    }

    nb::object shape(const std::string& name) const {
        const auto found = file_.tensors.find(name);
        if (found == file_.tensors.end()) return nb::none();
        nb::list sizes;
        for (const std::int64_t size : found->second.shape) sizes.append(size);
        return nb::tuple(sizes);
    }

    // A tensor's numbers as a flat array of floats. Integers are multiplied by the scales of their rows.
    Floats tensor(const std::string& name) const {
        auto* values = new std::vector<float>(restored(file_, name));
        const nb::capsule owner(values, [](void* kept) noexcept { delete static_cast<std::vector<float>*>(kept); });
        const std::size_t size = values->size();
        return Floats(values->data(), {size}, owner);
    }

    // The layer whose tensor names begin with `prefix`, with the given kind of cell, such as "LSTM".
    SharedLayer layer(const std::string& prefix, std::int64_t input_size, std::int64_t hidden_size, std::int64_t num_layers, bool bias,
                      bool bidirectional, const std::string& cell, std::int64_t proj_size) const {
        const Cell* const found = cell_named(cell);
        if (!found) throw FileError("there is no cell '" + cell + "'");
        return {Layer::read(file_, prefix, checked_sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size, *found))};
    }

    // Throws if the file holds a tensor that was not read.
    void finish() const { file_.finish(); }

    // The layer that the metadata describe.
    SharedLayer whole_layer() const { return {Layer::read(file_)}; }

private:
    nb::bytes bytes_;
    ModelFile file_;
};

// Runs a stream's steps with as little overhead as possible between NumPy and the native step.
class Steps {
public:
    Steps(const SharedLayer& of, std::int64_t N) : stream_(of.layer->stream(N)), sizes_(of.layer->sizes), N_(N) {}

    // Runs a step from x [N, C] (or [C], with one row) to out, which is created if it is None. Returns None if an array is not float32,
    // contiguous and of this shape; the Python package then finds out why.
    nb::object step(nb::handle x, nb::handle out, nb::handle make) {
        const Array from(x, false);
        if (!from.is(N_, sizes_.C)) return nb::none();
        nb::object to = out.is_none() ? from.flat() ? make(sizes_.P) : make(nb::make_tuple(N_, sizes_.P)) : nb::borrow(out);
        const Array written(to, true);
        if (!written.is(N_, sizes_.P) || written.flat() != from.flat()) return nb::none();
        const Turn turn(running_);
        if (N_ * sizes_.H * (sizes_.C + sizes_.H) < kWithoutGil) {
            stream_->step(from.numbers(), nullptr, 0, written.numbers());
        } else {
            const nb::gil_scoped_release released;
            stream_->step(from.numbers(), nullptr, 0, written.numbers());
        }
        return to;
    }

    void step_rows(nb::handle x, Numbers rows, nb::handle out) {
        const auto count = static_cast<std::int64_t>(rows.size());
        check(rows);
        const float* from = needed<Given>("x", x, count * sizes_.C);
        float* to = needed<Floats>("out", out, count * sizes_.P);
        const Turn turn(running_);
        const nb::gil_scoped_release released;
        if (count > 0) stream_->step(from, rows.data(), count, to);
    }

    void feed(nb::tuple arrays, std::int64_t T, int threads) {
        Run run = read_run(sizes_, arrays, T, N_, threads);
        const Turn turn(running_);
        const nb::gil_scoped_release released;
        stream_->feed(run);
    }

    void reset(nb::handle rows) {
        const Turn turn(running_);
        if (rows.is_none()) return stream_->reset(nullptr, 0);
        const auto some = nb::cast<Numbers>(rows);
        check(some);
        stream_->reset(some.data(), static_cast<std::int64_t>(some.size()));
    }

    // `c` must be None if there is no cell state.
    void read_state(nb::handle h, nb::handle c) {
        const std::int64_t rows = sizes_.L * N_;
        const Turn turn(running_);
        stream_->read_state(needed<Floats>("h", h, rows * sizes_.P), !sizes_.cell->has_memory ? nullptr : needed<Floats>("c", c, rows * sizes_.H));
    }

    void write_state(nb::handle h, nb::handle c) {
        const std::int64_t rows = sizes_.L * N_;
        const Turn turn(running_);
        stream_->write_state(needed<Given>("h", h, rows * sizes_.P), !sizes_.cell->has_memory ? nullptr : needed<Given>("c", c, rows * sizes_.H));
    }

private:
    // Holds a NumPy array's memory while it lives.
    class Array {
    public:
        Array(nb::handle array, bool writable) {
            has_ = PyObject_GetBuffer(array.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0)) == 0;
            if (!has_) PyErr_Clear();
        }
        ~Array() {
            if (has_) PyBuffer_Release(&view_);
        }
        Array(const Array&) = delete;
        Array& operator=(const Array&) = delete;

        bool is(std::int64_t N, std::int64_t features) const {
            if (!has_ || view_.itemsize != 4 || !view_.format || view_.format[0] != 'f' || view_.format[1]) return false;
            if (view_.ndim == 1) return N == 1 && view_.shape[0] == features;
            return view_.ndim == 2 && view_.shape[0] == N && view_.shape[1] == features;
        }

        bool flat() const { return view_.ndim == 1; }
        float* numbers() const { return static_cast<float*>(view_.buf); }

    private:
        Py_buffer view_ = {};
        bool has_;
    };

    // Rejects a second thread, which would corrupt the states.
    class Turn {
    public:
        explicit Turn(std::atomic<bool>& running) : running_(running) {
            if (running.exchange(true)) throw std::runtime_error("this stream is running in another thread: use one stream per thread");
        }
        ~Turn() { running_.store(false); }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        std::atomic<bool>& running_;
    };

    void check(const Numbers& rows) const {
        std::vector<bool> taken(static_cast<std::size_t>(N_));
        for (std::size_t k = 0; k < rows.size(); ++k) {
            const std::int64_t row = rows.data()[k];
            if (row < 0 || row >= N_ || taken[static_cast<std::size_t>(row)]) {
                throw nb::value_error(("rows must be distinct numbers from 0 to " + std::to_string(N_ - 1)).c_str());
            }
            taken[static_cast<std::size_t>(row)] = true;
        }
    }

    const std::unique_ptr<Stream> stream_;
    const Sizes sizes_;
    const std::int64_t N_;
    std::atomic<bool> running_{false};
};

}  // namespace
}  // namespace hiddenstate::runtime

NB_MODULE(_native, m) {
    using namespace hiddenstate::runtime;
    m.doc() = "Native part of hiddenstate_runtime.";
    m.attr("__version__") = HIDDENSTATE_VERSION;
    static PyObject* error = PyErr_NewException("hiddenstate_runtime._native.FileError", PyExc_ValueError, nullptr);
    m.attr("FileError") = nb::handle(error);
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const FileError& found) {
            PyErr_SetString(error, found.what());
        }
    });
    nb::class_<SharedLayer>(m, "Layer", "runtime/model.h: a layer's weights.")
        .def_prop_ro("isa", [](const SharedLayer& of) { return of.layer->isa; })
        .def_prop_ro("precision", [](const SharedLayer& of) { return of.layer->precision; })
        .def_prop_ro("cell", [](const SharedLayer& of) { return std::string(of.layer->sizes.cell->name); })
        .def_prop_ro("axes", [](const SharedLayer& of) {
            const Sizes& sizes = of.layer->sizes;
            return nb::make_tuple(sizes.C, sizes.H, sizes.P, sizes.L, sizes.D);
        })
        .def("run", &run_layer, nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg());
    nb::class_<File>(m, "File", "runtime/model_file.h: a model file.")
        .def(nb::init<nb::bytes>())
        .def("metadata", &File::metadata)
        .def("shape", &File::shape)
        .def("tensor", &File::tensor)
        .def("layer", &File::layer, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg("proj_size") = 0)
        .def("whole_layer", &File::whole_layer)
        .def("finish", &File::finish);
    nb::class_<Steps>(m, "Steps", "runtime/model.h: a stream.")
        .def(nb::init<const SharedLayer&, std::int64_t>())
        .def("step", &Steps::step, nb::arg(), nb::arg().none(), nb::arg())
        .def("step_rows", &Steps::step_rows)
        .def("feed", &Steps::feed)
        .def("reset", &Steps::reset, nb::arg().none())
        .def("read_state", &Steps::read_state, nb::arg(), nb::arg().none())
        .def("write_state", &Steps::write_state, nb::arg(), nb::arg().none());
}
