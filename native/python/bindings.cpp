// Binds the native functions to Python and converts their arguments. The functions take torch tensors, which read.h checks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <map>
#include <string>
#include <type_traits>

#include "kernel/scan.h"
#include "platform/cpu.h"
#include "python/block.h"
#include "python/cell_check.h"
#include "python/cell_step.h"
#include "python/dropout_mask.h"
#include "python/fast_call.h"
#include "python/kernel.h"
#include "python/stream_step.h"

namespace hiddenstate {

ThreadTuner<>& tuner_of(const Timed& what, bool begins_with_all) {
    // Never freed: a thread may still be running a job when statics are destroyed.
    static auto& tuners = *new std::map<Timed, ThreadTuner<>>;
    return tuners.try_emplace(what, what.threads, begins_with_all).first->second;
}

PlanTuner<>& plan_tuner_of(const Timed& what, int plans) {
    static auto& tuners = *new std::map<Timed, PlanTuner<>>;
    return tuners.try_emplace(what, plans).first->second;
}

}  // namespace hiddenstate

using namespace hiddenstate;

namespace {

// Runs a step on an input in half precision, and rounds its output to it.
template <class P, class Run>
StreamStep::Kernel in_half_precision(const Scan<P>& scan, const Call<P>& call, Run run) {
    using real = typename P::real;
    const auto size = [&](std::int64_t units) { return static_cast<std::size_t>(call.N * units); };
    return [&scan, N = call.N, C = call.C, H = call.H, run = std::move(run), wide_x = std::vector<real>(size(call.C)),
            wide_out = std::vector<real>(size(call.H))](std::uintptr_t x, std::uintptr_t out, const StreamStep::Rows* rows,
                                                        int threads) mutable {
        const std::int64_t n = rows ? static_cast<std::int64_t>(rows->size()) : N;
        scan.widen(reinterpret_cast<const void*>(x), wide_x.data(), n * C);
        run(reinterpret_cast<std::uintptr_t>(wide_x.data()), reinterpret_cast<std::uintptr_t>(wide_out.data()), rows, threads);
        scan.narrow(wide_out.data(), reinterpret_cast<void*>(out), n * H);
    };
}

// A single step of a stream on packed weights. It updates `h` and `c` in place; `scratch` is [N, H]. StreamStep::keep keeps all three
// alive. With `half`, x and out are float16, and the states float32.
template <class P>
StreamStep* stream_step(const PackedWeights<P>& packed, nb::handle h, nb::handle c, nb::handle scratch, bool half) {
    using element = typename P::element;
    Reader reader;
    Call<P> call;
    TensorView view;
    require(read_tensor(h, view) && view.rank == 3, reader);
    call.T = 1, call.N = view.sizes[1], call.C = packed.C, call.H = call.P = packed.H, call.relu = packed.scan.relu;
    call.layers.resize(static_cast<std::size_t>(packed.layers));
    const Shape states(packed.layers, call.N, packed.H);
    element* spare = nullptr;
    require(reader.read(h, states, "h", call.h_n) && (!packed.scan.memory || reader.read(c, states, "c", call.c_n)) &&
                reader.read(scratch, {call.N, packed.H}, "scratch", spare), reader);
    call.h0 = call.h_n, call.c0 = call.c_n, call.packed = packed.at(spare, call.N);
    const std::int64_t widest = packed.H * (packed.layers > 1 ? std::max(packed.C, packed.H) + packed.H : packed.C + packed.H);
    call.threads = call.N * widest >= kThreadedPackedStep ? nb::cast<int>(torch_api().num_threads()) : 1;
    const bool large = call.threads > 1 || call.N * call.H * (call.C + call.H) >= kWithoutGil;
    ThreadTuner<>& tuner = tuner_of(timed(packed.scan, Task::kStreamStep, call), false);
    const auto run = [call, forward = packed.scan.forward, &tuner](std::uintptr_t x, std::uintptr_t out,
                                                                  const StreamStep::Rows* rows, int threads) mutable {
        call.x = reinterpret_cast<const element*>(x), call.out = reinterpret_cast<element*>(out), call.threads = threads;
        call.packed.from_last = !call.packed.from_last;
        call.packed.rows = rows ? rows->data() : nullptr, call.packed.close = tuner.runs_close_jobs();
        call.N = rows ? static_cast<std::int64_t>(rows->size()) : call.packed.batch;
        forward(call);
    };
    if constexpr (std::is_same_v<P, F32>) {
        if (half && packed.scan.widen) {
            return new StreamStep(in_half_precision(packed.scan, call, run), kFloat16, call.N, call.C, call.H, large, tuner);
        }
    }
    if (half) throw nb::type_error("this kernel takes no float16");
    return new StreamStep(run, number_type<element>(), call.N, call.C, call.H, large, tuner);
}

template <class P>
void bind(nb::module_& m) {
    using S = Scan<P>;
    using real = typename P::real;
    const auto named = [](const char* what) { return std::string(what) + "_" + P::name; };
    nb::class_<PackedWeights<P>>(m, named("Packed").c_str(), "Weights of all layers, packed for single steps.")
        .def("equals", &PackedWeights<P>::equals, nb::call_guard<nb::gil_scoped_release>())
        .def("stream_step", &stream_step<P>, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::rv_policy::take_ownership);
    auto kernel = nb::class_<S>(m, named("Kernel").c_str(), "The scan of an instruction set and a precision: kernel/scan.h.")
        .def_ro("isa", &S::isa)
        .def_ro("cell", &S::cell)
        .def("forward", &forward<P>, nb::arg(), nb::arg().none(), nb::arg(), nb::arg())
        .def("backward", &backward<P>, nb::arg(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg())
        .def("pack", [](const S& s, nb::handle weights, std::int64_t C, std::int64_t H, std::int64_t directions) {
            return new PackedWeights<P>(s, weights, C, H, directions);
        }, nb::rv_policy::take_ownership, nb::keep_alive<0, 1>())
        .def("plan", [](const S& s, std::int64_t T, std::int64_t N, const nb::tuple& axes, std::int64_t layers, bool recorded) {
            Call<P> call;
            read_axes(axes, call);
            call.T = T, call.N = N, call.layers.resize(static_cast<std::size_t>(layers));
            const Planned found = planned(s, recorded ? Task::kRecordedForward : Task::kForward, call);
            return nb::make_tuple(found.threads, found.stages, found.plan.units, found.plan.joins);
        })
        .def("nonlinearity", [](const S& s, const std::string& name, nb::handle x) {
            if (!s.nonlinearity) throw nb::type_error("this kernel has no nonlinearity of its own");
            Reader reader;
            const real* in = nullptr;
            real* out = nullptr;
            TensorView view;
            require(read_tensor(x, view) && view.rank == 1, reader);
            const Shape shape(view.sizes[0]);
            require(reader.read(x, shape, "x", in), reader);
            nb::object made = make(shape, out);
            s.nonlinearity(name.at(0), in, out, view.sizes[0]);
            return made;
        });
    nb::class_<FastCall<P>>(m, named("FastCall").c_str(), "A call on the user's unconverted arguments: fast_call.h.")
        .def("run", &FastCall<P>::run)
        .def("why_not", &FastCall<P>::why_not);
    kernel.def("fast_call", [](const S& s) { return new FastCall<P>(s); }, nb::rv_policy::take_ownership);
    if constexpr (std::is_same_v<P, F32>) {
        kernel.def("fast_half_call", [](const S& s) { return new FastCall<P>(s, kFloat16); }, nb::rv_policy::take_ownership);
    }
    m.def(named("kernels").c_str(), [](const std::string& cell) {
        nb::list found;
        if (const Cell* known = cell_named(cell)) {
            for (const S* scan : scans<P>(known->kind)) found.append(nb::cast(scan, nb::rv_policy::reference));
        }
        return found;
    }, nb::arg("cell") = "LSTM", "Kernels of a kind of cell that were compiled in and that this CPU runs, narrowest first.");
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native part of hiddenstate.";
#ifdef NDEBUG
    // torch's compilers hold objects until Python has ended; nanobind would report these to every user as leaks.
    nb::set_leak_warnings(false);
#endif
    m.attr("__version__") = HIDDENSTATE_VERSION;
    m.def("cpu_features", &cpu_features, "Instruction sets that the CPU and the operating system support, narrowest first.");
    m.def("connect", [](nb::dict torch) {
        const auto of = [&](const char* name) { return nb::object(torch[name]); };
        connect_torch({of("Tensor"), of("Parameter"), of("UntypedStorage"), of("empty"), of("cpu"), of("get_num_threads"), of("float32"),
                       of("float64"), of("bfloat16"), of("float16"), of("int64"), of("bool"), nb::list(of("interceptors")),
                       nb::cast<nb::dict>(of("forward_derivatives"))});
    }, "Passes the objects of torch that native code uses, by name. Must be called before any other function.");
    m.def("threads", [](std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H) {
        return threads_worth_waking(T, N, C, H, nb::cast<int>(torch_api().num_threads()));
    }, "The number of threads for a call of these sizes.");
    // The exception type, whose arguments are the fields of Refusal.
    static PyObject* refused = PyErr_NewException("hiddenstate._native.RefusedError", nullptr, nullptr);
    m.attr("RefusedError") = nb::handle(refused);
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const Refused& found) {
            PyErr_SetObject(refused, found.refusal.as_tuple().ptr());
        }
    });
    m.def("cell_fits", &cell_fits, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg(),
          "Whether all checks of an LSTMCell's arguments would pass: cell_check.h.");
    m.def("draw_mask", &draw_any_mask, "Draws a dropout mask in place: dropout_mask.h.");
    bind_block(m);
    bind_stream_step(m);
    m.def("kernels_int8", [](const std::string& cell) {
        nb::list found;
        if (const Cell* known = cell_named(cell)) {
            for (const Scan<F32>* scan : scans_int8(known->kind)) found.append(nb::cast(scan, nb::rv_policy::reference));
        }
        return found;
    }, nb::arg("cell") = "LSTM", "Like kernels_float32, for the kernels that pack int8 weights and compute only forward.");
    bind<F32>(m);
    bind<F64>(m);
    bind<BF16>(m);
    nb::class_<CellSteps>(m, "CellSteps", "A step of a cell on its own weights: cell_step.h.")
        .def(nb::init<const Scan<F32>&, const Scan<F64>&, const Scan<BF16>&>())  // the kernels live as long as the module
        .def("run", &CellSteps::run, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg(), nb::arg() = false)
        .def("why_not", &CellSteps::why_not, nb::arg().none(), nb::arg().none(), nb::arg(), nb::arg())
        .def("gradients", &CellSteps::gradients);
}
