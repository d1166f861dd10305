// The one file that knows Python: it names the native functions and converts their arguments.
//
// Arrays come as addresses (numbers), so that a call costs little and torch is not needed to build this. Whoever calls
// has checked shapes, types and strides: hiddenstate/engine.py does, and nothing else calls these.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cpu.h"
#include "scan.h"

namespace nb = nanobind;
using hiddenstate::Scan;

namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

// Products of weights and inputs from which on others may run Python meanwhile; letting them costs a fraction of a
// microsecond.
constexpr std::int64_t kLargeWork = 1 << 15;

const Scan& scan_of(int isa) { return *hiddenstate::scans().at(static_cast<std::size_t>(isa)); }

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (const Scan* scan : hiddenstate::scans()) names.emplace_back(scan->isa);
    return names;
}

void forward(int isa, Address xg, Address w, Address h0, Address c0, Address lengths, Address reset, Address out,
             Address c, Address h_n, Address c_n, std::int64_t T, std::int64_t N, std::int64_t H,
             std::int64_t out_stride, bool reverse, bool keep_gates, int threads) {
    const nb::gil_scoped_release released;
    scan_of(isa).forward({at<float>(xg), at<const float>(w), at<const float>(h0), at<const float>(c0),
                          at<const std::int64_t>(lengths), at<const std::uint8_t>(reset), at<float>(out),
                          at<float>(c), at<float>(h_n), at<float>(c_n), T, N, H, out_stride, reverse, keep_gates,
                          threads});
}

void backward(int isa, Address dout, Address dh_n, Address dc_n, Address dgates, Address dc, Address gates, Address c,
              Address c0, Address w, Address lengths, Address reset, Address dg, Address dh0, Address dc0,
              std::int64_t T, std::int64_t N, std::int64_t H, std::int64_t dout_stride, bool reverse, int threads) {
    const nb::gil_scoped_release released;
    scan_of(isa).backward({at<const float>(dout), at<const float>(dh_n), at<const float>(dc_n),
                           at<const float>(dgates), at<const float>(dc), at<const float>(gates), at<const float>(c), at<const float>(c0), at<const float>(w),
                           at<const std::int64_t>(lengths), at<const std::uint8_t>(reset), at<float>(dg),
                           at<float>(dh0), at<float>(dc0), T, N, H, dout_stride, reverse, threads});
}

void steps(int isa, Address x, Address w, Address bias, Address h, Address c, Address next, Address out,
           std::int64_t T, std::int64_t N, std::int64_t C, std::int64_t H, std::int64_t L) {
    const hiddenstate::Steps job{at<const float>(x), at<const float>(w), at<const float>(bias), at<float>(h),
                                 at<float>(c), at<float>(next), at<float>(out), T, N, C, H, L};
    if (T * N * H * (C + H) < kLargeWork) return scan_of(isa).steps(job);
    const nb::gil_scoped_release released;
    scan_of(isa).steps(job);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native part of hiddenstate.";
    m.attr("__version__") = HIDDENSTATE_VERSION;
    m.def("cpu_features", &hiddenstate::cpu_features,
          "Instruction sets that the CPU and the operating system support, narrowest first.");
    m.def("isas", &isas, "Scans that were compiled in and that this CPU runs, narrowest first; others take an index.");
    m.def("packed_size", [](int isa, std::int64_t H) { return scan_of(isa).packed_size(H); });
    m.def("pack_forward", [](int isa, Address w_hh, std::int64_t H, Address packed) {
        scan_of(isa).pack_forward(at<const float>(w_hh), H, at<float>(packed));
    });
    m.def("pack_backward", [](int isa, Address w_hh, std::int64_t H, Address packed) {
        scan_of(isa).pack_backward(at<const float>(w_hh), H, at<float>(packed));
    });
    m.def("forward", &forward, "scan.h: Forward, preceded by the index of the instruction set.");
    m.def("backward", &backward, "scan.h: Backward, preceded by the index of the instruction set.");
    m.def("layer_size", [](int isa, std::int64_t K, std::int64_t H) { return scan_of(isa).layer_size(K, H); });
    m.def("bias_size", [](int isa, std::int64_t H) { return scan_of(isa).bias_size(H); });
    m.def("pack_layer", [](int isa, Address w_ih, Address w_hh, Address b_ih, Address b_hh, std::int64_t K,
                           std::int64_t H, Address packed, Address bias) {
        scan_of(isa).pack_layer(at<const float>(w_ih), at<const float>(w_hh), at<const float>(b_ih),
                                at<const float>(b_hh), K, H, at<float>(packed), at<float>(bias));
    });
    m.def("steps", &steps, "scan.h: Steps, preceded by the index of the instruction set.");
    m.def("sigmoid", [](int isa, Address in, Address out, std::int64_t n) {
        scan_of(isa).nonlinearity('s', at<const float>(in), at<float>(out), n);
    });
    m.def("tanh", [](int isa, Address in, Address out, std::int64_t n) {
        scan_of(isa).nonlinearity('t', at<const float>(in), at<float>(out), n);
    });
}
