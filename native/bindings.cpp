// Names the native functions for Python and converts their arguments.
//
// Arrays come as addresses (numbers, 0 for none), so that a call costs little and torch is not needed to build this.
// Whoever calls has checked shapes, types and strides: engine.py, layers.py and stepper.py do. A PlainCall and a StreamStep take
// Python's objects, and check them.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu.h"
#include "plain_call.h"
#include "scan.h"
#include "stream_step.h"

namespace nb = nanobind;
using namespace hiddenstate;

namespace {

using Address = std::uintptr_t;
using Size = std::int64_t;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

template <class T>
std::vector<T*> all_at(const std::vector<Address>& addresses) {
    std::vector<T*> found;
    for (const Address address : addresses) found.push_back(at<T>(address));
    return found;
}

// As DLPack numbers them: 2 for IEEE numbers, 4 for bfloat16.
template <class T>
constexpr nb::dlpack::dtype dlpack_type() {
    return {std::is_same_v<T, bfloat16> ? std::uint8_t{4} : std::uint8_t{2}, 8 * sizeof(T), 1};
}

// Products of weights and inputs from which on others may run Python meanwhile; letting them costs a fraction of a
// microsecond.
constexpr Size kLargeWork = 1 << 15;

enum class Task { kForward, kRecordedForward, kLayers, kRecordedLayers, kBackward, kLayersBackward, kSteps, kStreamStep };

// All jobs of a scan that take the same time a step.
struct Sort {
    Task task;
    Size N, C, H, P, L, D;
    int threads;

    bool operator<(const Sort& o) const {
        return std::tie(task, N, C, H, P, L, D, threads) < std::tie(o.task, o.N, o.C, o.H, o.P, o.L, o.D, o.threads);
    }
};

// The crew of all jobs of a sort: what one of them has found out serves those to come, which may be over in less time than
// that takes. Never freed: a thread may still be in a job when statics are.
Crew<>& crew_of(const void* scan, const Sort& sort) {
    using Key = std::pair<const void*, Sort>;
    static auto& crews = *new std::map<Key, Crew<>>;
    return crews.try_emplace(Key{scan, sort}, sort.threads).first->second;
}

// Does a job, while others may run Python: with all its threads; where they would wait for one another at every step, with as
// many as turns out to be faster.
template <class S, class Job>
void share(const S& s, Task task, Size P, Size L, Size D, Job job, void (*work)(const Job&)) {
    const Sort sort{task, job.N, job.C, job.H, P, L, D, job.threads};
    Crew<>* const crew = s.shares_units(job.N, job.H, job.threads) ? &crew_of(&s, sort) : nullptr;
    const nb::gil_scoped_release released;
    if (!crew) return work(job);
    crew->run([&](int threads) {
        job.threads = threads;
        work(job);
    }, job.T);
}

// The addresses of ih, hh, b_ih, b_hh, hr of one layer and direction after another.
template <class Precision>
std::vector<Weights<Precision>> weights_at(const std::vector<Address>& addresses) {
    using element = const typename Precision::element;
    using real = const typename Precision::real;
    std::vector<Weights<Precision>> found;
    for (auto one = addresses.begin(); addresses.end() - one >= 5; one += 5) {
        found.push_back({at<element>(one[0]), at<element>(one[1]), at<real>(one[2]), at<real>(one[3]), at<element>(one[4])});
    }
    return found;
}

template <class S, class Precision>
void share_layers(const S& s, Layers<Precision> job) {
    const Task task = job.gates.empty() ? Task::kLayers : Task::kRecordedLayers;
    const Size tracks = static_cast<Size>(job.weights.size()), P = job.P, D = job.directions;
    share(s, task, P, tracks, D, std::move(job), s.layers);
}

// The addresses of the gradients of ih, hh, a bias and hr of one layer and direction after another.
template <class Precision>
std::vector<WeightGradients<Precision>> gradients_at(const std::vector<Address>& addresses) {
    using element = typename Precision::element;
    std::vector<WeightGradients<Precision>> found;
    for (auto one = addresses.begin(); addresses.end() - one >= 4; one += 4) {
        found.push_back({at<element>(one[0]), at<element>(one[1]), at<element>(one[2]), at<element>(one[3])});
    }
    return found;
}

template <class S, class Precision>
void share_layers_backward(const S& s, LayersBackward<Precision> job) {
    const Size tracks = static_cast<Size>(job.weights.size()), P = job.P, D = job.directions;
    share(s, Task::kLayersBackward, P, tracks, D, std::move(job), s.layers_backward);
}

// Where the elements are reals too.
template <class Precision>
Layers<Precision> layers_of(const PlainJob& j) {
    using real = typename Precision::real;
    return {at<const real>(j.x), weights_at<Precision>(j.weights), at<const real>(j.h0), at<const real>(j.c0),
            j.lengths.empty() ? nullptr : j.lengths.data(), nullptr, {}, at<real>(j.out), all_at<real>(j.gates),
            all_at<real>(j.c), all_at<real>(j.between), at<real>(j.h_n), at<real>(j.c_n), j.T, j.N, j.C, j.H, j.P,
            j.directions, j.x_step, j.x_row, j.threads};
}

template <class Precision>
PlainCall* plain_call(const Scan<Precision>& s, nb::object tensor, nb::object parameter, nb::object make, nb::object dtype,
                      nb::object device, nb::object threads) {
    using real = typename Precision::real;
    const auto run = [&s](const PlainJob& j) { share_layers(s, layers_of<Precision>(j)); };
    const auto gradients = [&s](const PlainGradient& j) {
        share_layers_backward(s, LayersBackward<Precision>{layers_of<Precision>(j), at<const real>(j.dout), at<const real>(j.dh_n),
                                                           at<const real>(j.dc_n), {}, {}, at<real>(j.dx),
                                                           gradients_at<Precision>(j.dweights), at<real>(j.dh0), at<real>(j.dc0)});
    };
    return new PlainCall({run, gradients}, dlpack_type<real>(), tensor, parameter, make, dtype, device, threads);
}

template <class Real>
void bind_edits(nb::module_& m, const char* name) {
    nb::class_<Edits<Real>>(m, name, "Edits of one layer and direction: edits.h")
        .def(nb::init<Size>(), "For so many rows.")
        .def("add", [](Edits<Real>& edits, int place, int kind, Address value, Size step_stride, Size row_stride,
                       Size unit_stride, const std::vector<std::int32_t>& steps, const std::vector<std::int32_t>& rows,
                       const std::vector<std::int32_t>& units) {
            edits.add(static_cast<Place>(place), static_cast<Kind>(kind), at<const Real>(value), step_stride, row_stride,
                      unit_stride, steps, rows, units);
        });
}

template <class Precision>
void bind_scan(nb::module_& m) {
    using S = Scan<Precision>;
    using element = typename Precision::element;
    using real = typename Precision::real;
    auto scan = nb::class_<S>(m, (std::string("Scan_") + Precision::name).c_str(), "scan.h: the scan of an instruction set and a precision.")
        .def_ro("isa", &S::isa)
        .def("layer_bytes", [](const S& s, Size C, Size H) { return s.layer_bytes(C, H); })
        .def("bias_size", [](const S& s, Size H) { return s.bias_size(H); })
        .def("pack_layer", [](const S& s, Address w_ih, Address w_hh, Address b_ih, Address b_hh, Size C, Size H, int threads,
                              Address packed, Address bias) {
            const nb::gil_scoped_release released;
            s.pack_layer({at<const element>(w_ih), at<const element>(w_hh), at<const real>(b_ih), at<const real>(b_hh), nullptr},
                         C, H, threads, at<void>(packed), at<real>(bias));
        })
        .def("forward", [](const S& s, Address x, Address w_ih, Address w_hh, Address b_ih, Address b_hh, Address w_hr,
                           Address h0, Address c0, Address lengths, Address reset, const Edits<real>* edits, Address out, Address gates, Address unedited,
                           Address c, Address h_n, Address c_n, Size T, Size N, Size C, Size H, Size P, Size x_step,
                           Size x_row, Size out_step, Size out_row, bool reverse, int threads) {
            const Task task = gates || unedited ? Task::kRecordedForward : Task::kForward;
            const Forward<Precision> job{at<const element>(x),
                       {at<const element>(w_ih), at<const element>(w_hh), at<const real>(b_ih), at<const real>(b_hh),
                        at<const element>(w_hr)},
                       at<const element>(h0),
                       at<const real>(c0), at<const std::int64_t>(lengths), at<const std::uint8_t>(reset), edits,
                       at<element>(out), at<real>(gates), at<real>(unedited), at<real>(c), at<element>(h_n), at<real>(c_n),
                       T, N, C, H, P, x_step, x_row, out_step, out_row, reverse, threads};
            share(s, task, P, 1, 1, job, s.forward);
        }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg())
        .def("layers", [](const S& s, Address x, const std::vector<Address>& weights, Address h0, Address c0,
                          Address lengths, Address reset, const std::vector<Address>& noise, Address out,
                          const std::vector<Address>& gates, const std::vector<Address>& c,
                          const std::vector<Address>& between, Address h_n, Address c_n, Size T, Size N, Size C, Size H, Size P,
                          Size directions, Size x_step, Size x_row, int threads) {
            share_layers(s, Layers<Precision>{
                at<const element>(x), weights_at<Precision>(weights), at<const element>(h0), at<const real>(c0),
                at<const std::int64_t>(lengths), at<const std::uint8_t>(reset), all_at<const element>(noise), at<element>(out),
                all_at<real>(gates), all_at<real>(c), all_at<element>(between), at<element>(h_n), at<real>(c_n), T, N, C, H, P,
                directions, x_step, x_row, threads});
        }, "scan.h: Layers; the addresses of ih, hh, b_ih, b_hh, hr of one layer and direction after another.")
        .def("backward", [](const S& s, const std::vector<Address>& given, const Edits<real>* edits,
                            const std::vector<Address>& asked, Size T, Size N, Size C, Size H, Size P, Size x_step, Size x_row,
                            Size out_step, Size out_row, bool reverse, int threads) {
            if (given.size() != 16 || asked.size() != 7) throw nb::value_error("backward: 16 and 7 addresses");
            const auto in = given.begin(), to = asked.begin();
            const Backward<Precision> job{at<const element>(in[0]), at<const element>(in[1]), at<const element>(in[2]),
                        at<const element>(in[3]), at<const element>(in[4]), at<const real>(in[5]),
                        at<const std::int64_t>(in[6]), at<const std::uint8_t>(in[7]), edits, at<const element>(in[8]),
                        at<const real>(in[9]), at<const real>(in[10]), at<const element>(in[11]), at<const real>(in[12]),
                        at<const real>(in[13]), at<const real>(in[14]), at<const real>(in[15]), at<element>(to[0]),
                        at<element>(to[1]), at<element>(to[2]), at<element>(to[3]), at<element>(to[4]), at<real>(to[5]),
                        at<real>(to[6]), T, N, C, H, P, x_step, x_row, out_step, out_row, reverse, threads};
            share(s, Task::kBackward, P, 1, 1, job, s.backward);
        }, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), "scan.h: Backward; the addresses of what is given and of what is asked, in its order.")
        .def("layers_backward", [](const S& s, Address x, const std::vector<Address>& weights, Address h0, Address c0,
                                   Address lengths, Address reset, const std::vector<Address>& noise, Address out,
                                   const std::vector<Address>& gates, const std::vector<Address>& c,
                                   const std::vector<Address>& between, Address dout, Address dh_n, Address dc_n,
                                   const std::vector<Address>& dgates, const std::vector<Address>& dc, Address dx,
                                   const std::vector<Address>& dweights, Address dh0, Address dc0, Size T, Size N, Size C, Size H,
                                   Size P, Size directions, Size x_step, Size x_row, int threads) {
            share_layers_backward(s, LayersBackward<Precision>{
                {at<const element>(x), weights_at<Precision>(weights), at<const element>(h0), at<const real>(c0),
                 at<const std::int64_t>(lengths), at<const std::uint8_t>(reset), all_at<const element>(noise), at<element>(out),
                 all_at<real>(gates), all_at<real>(c), all_at<element>(between), nullptr, nullptr, T, N, C, H, P, directions,
                 x_step, x_row, threads},
                at<const element>(dout), at<const real>(dh_n), at<const real>(dc_n), all_at<const real>(dgates),
                all_at<const real>(dc), at<element>(dx), gradients_at<Precision>(dweights), at<real>(dh0), at<real>(dc0)});
        }, "scan.h: LayersBackward; weights as in layers, and the addresses of the gradients of ih, hh, a bias, hr likewise.")
        .def("steps", [](const S& s, Address x, Address w, Address bias, Address h, Address c, Address next, Address out,
                         Size T, Size N, Size C, Size H, Size L, int threads) {
            const Steps<Precision> job{at<const element>(x), at<const void>(w), at<const real>(bias), at<element>(h), at<real>(c),
                               at<element>(next), at<element>(out), T, N, C, H, L, threads};
            if (T * N * H * (C + H) < kLargeWork) return s.steps(job);
            share(s, Task::kSteps, H, L, 1, job, s.steps);
        })
        .def("stream_step", [](const S& s, Address w, Address bias, Address h, Address c, Address next, Size N, Size C,
                               Size H, Size L, int threads) {
            const auto run = [=, &s](Address x, Address out, int threads) {
                s.steps({at<const element>(x), at<const void>(w), at<const real>(bias), at<element>(h), at<real>(c),
                         at<element>(next), at<element>(out), 1, N, C, H, L, threads});
            };
            return new StreamStep(run, dlpack_type<element>(), N, C, H, N * H * (C + H) >= kLargeWork,
                                  crew_of(&s, {Task::kStreamStep, N, C, H, H, L, 1, threads}));
        }, nb::rv_policy::take_ownership)
        .def("nonlinearity", [](const S& s, const std::string& name, Address in, Address out, Size n) {
            s.nonlinearity(name.at(0), at<const real>(in), at<real>(out), n);
        });
    if constexpr (std::is_same_v<element, real>) {
        scan.def("plain_call", plain_call<Precision>, nb::rv_policy::take_ownership);
    }
    m.def((std::string("scans_") + Precision::name).c_str(), [] {
        nb::list found;
        for (const S* scan : scans<Precision>()) found.append(nb::cast(scan, nb::rv_policy::reference));
        return found;
    }, "Scans that were compiled in and that this CPU runs, narrowest first.");
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native part of hiddenstate.";
#ifdef NDEBUG
    // What torch's compilers keep until Python has ended would be reported to every user as a leak of ours.
    nb::set_leak_warnings(false);
#endif
    m.attr("__version__") = HIDDENSTATE_VERSION;
    m.def("cpu_features", &cpu_features, "Instruction sets that the CPU and the operating system support, narrowest first.");
    bind_plain_call(m);
    bind_stream_step(m);
    bind_edits<float>(m, "EditsFloat32");
    bind_edits<double>(m, "EditsFloat64");
    bind_scan<F32>(m);
    bind_scan<F64>(m);
    bind_scan<BF16>(m);
}
