// One layer and direction in WebAssembly, for the JavaScript package. runtime/js/build.py compiles it together with the scans.
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <vector>

#include "kernel/scan.h"
#include "platform/allocator.h"
#include "threads/helpers.h"
#include "threads/parallel.h"

namespace hiddenstate {

#define HIDDENSTATE_DECLARE(name, kind, ...) extern const Scan<F32> scan_##kind##_generic_F32, scan_##kind##_generic_int8;
HIDDENSTATE_KINDS(HIDDENSTATE_DECLARE)

// WebAssembly has no other threads, and the JavaScript engine decides the page size.
bool run_on_threads(int threads, bool together, void (*body)(const void* context, int k), const void* context) {
    if (together && threads > 1) return false;
    for (int k = 0; k < threads; ++k) body(context, k);
    return true;
}
Helpers::Helpers(int threads) : threads_(threads) {}
void Helpers::run_parts(Function, const void*) const {}
void keep_freed_memory(std::size_t) {}
void* take_large(std::size_t bytes) {
    void* const array = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!array) __builtin_trap();  // an error in JavaScript
    return array;
}
void give_back_large(void* array, std::size_t) { std::free(array); }
void expect_writes(void*, std::size_t) {}

namespace {

#define HIDDENSTATE_every(kind) &scan_##kind##_generic_int8
#define HIDDENSTATE_few(kind) nullptr
#define HIDDENSTATE_ROW(name, kind, header, sets, ...) {&scan_##kind##_generic_F32, HIDDENSTATE_##sets(kind)},
const Scan<F32>* const kScans[][2] = {HIDDENSTATE_KINDS(HIDDENSTATE_ROW)};  // of floats, and of int8 if there is one

struct Layer {
    const Scan<F32>* scan;
    Call<F32> call;
    void* packed;
    float* bias;
    std::vector<float> last;  // the states after a run
};

float* floats(std::int64_t count) { return static_cast<float*>(take_large(static_cast<std::size_t>(count) * sizeof(float))); }

}  // namespace
}  // namespace hiddenstate

// Replaces the C++ library's error messages, which would need a system to print them.
[[noreturn]] void std::__libcpp_verbose_abort(const char*, ...) { __builtin_trap(); }
extern "C" [[noreturn]] void abort_message(const char*, ...) { __builtin_trap(); }
// The only thread never ends, so nothing of it is destroyed.
extern "C" int __cxa_thread_atexit(void (*)(void*), void*, void*) { return 0; }

#define EXPORTED(name) extern "C" __attribute__((export_name(#name)))

EXPORTED(take) float* take(std::int32_t count) { return hiddenstate::floats(count); }
EXPORTED(give_back) void give_back(float* array) { std::free(array); }

// How many kinds of cells there are, in the order of kernel/kinds.h.
EXPORTED(kinds) std::int32_t kinds() { return std::size(hiddenstate::kCells); }

// `kind`: twice its number, and one more to multiply int8. The weights have torch's shapes; a bias may be null. They are packed, and not
// read again.
EXPORTED(make) hiddenstate::Layer* make(std::int32_t kind, std::int32_t C, std::int32_t H, const float* ih, const float* hh, const float* b_ih,
                                        const float* b_hh) {
    using namespace hiddenstate;
    const Scan<F32>& scan = *kScans[kind / 2][kind % 2];
    auto* const layer = new Layer{&scan, {}, take_large(static_cast<std::size_t>(scan.packed_bytes(C, H))), floats(scan.packed_bias_size(H)), {}};
    Weights<F32> weights{ih, hh, b_ih, b_hh, nullptr};
    scan.pack(weights, C, H, 1, layer->packed, layer->bias);
    weights.packed = layer->packed, weights.packed_bias = layer->bias;
    Call<F32>& call = layer->call;
    call.N = 1, call.C = C, call.H = H, call.P = H, call.x_row = C, call.x_step = C, call.relu = scan.relu;
    call.layers = {{weights, nullptr, nullptr, nullptr, nullptr}};
    layer->last.resize(2 * static_cast<std::size_t>(H));
    call.h_n = layer->last.data(), call.c_n = scan.memory ? call.h_n + H : nullptr;
    return layer;
}

EXPORTED(release) void release(hiddenstate::Layer* layer) {
    std::free(layer->packed), std::free(layer->bias);
    delete layer;
}

// Runs x [T, C] to out [T, H], with records: the gates [T, record * H] and, for an LSTM, c [T, H]; c0 and c are null for other cells.
EXPORTED(run) void run(hiddenstate::Layer* layer, std::int32_t T, std::int32_t reverse, const float* x, const float* h0, const float* c0, float* out,
                       float* gates, float* c) {
    auto& call = layer->call;
    call.T = T, call.reverse = reverse != 0, call.x = x, call.h0 = h0, call.c0 = c0, call.out = out;
    call.layers[0].gates = gates, call.layers[0].c = c;
    layer->scan->forward(call);
}
