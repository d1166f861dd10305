// The rows, tiles and packing of int8 weights. Included by tile.h.
//
// A row of inputs or hidden states is quantised when it is read, to integers from -127 to 127 times the row's scale; each row of weights is
// quantised in the same way when it is packed. Products are summed exactly, as integers, so sums may be split in any way; multiplying a sum
// by both scales gives the product.
//
//     a packed block    [....|....|....|....]  scale of each column
//                       [....|....|....|....]  initial value of its sum: see kOffset
//         k = 0 ... 3   [....|....|....|....]  four int8 numbers a lane
//         k = 4 ... 7   [....|....|....|....]
//
//     a row             [scale|0123|4567|...]  as tiles read it, the last lane filled up with zeros; for matrix registers
//                                              numbers begin at the second vector, and fill whole ones
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

namespace hiddenstate {
namespace {

constexpr real kMost = 127;

// x86's instruction for int8 vectors multiplies unsigned by signed numbers, so rows are stored with 128 added, and each sum starts at -128
// times the sum of its weights. The instruction for matrix registers multiplies signed by signed numbers.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr std::int32_t kOffset = 128;
#else
constexpr std::int32_t kOffset = 0;
#endif

typedef std::int8_t bytes_of_lanes __attribute__((vector_size(kLanes)));
typedef std::int8_t bytes __attribute__((vector_size(HIDDENSTATE_BYTES)));

// sum[j] += the sum over the lane's four numbers of a times w.
inline vi add_quads(vi sum, vi a, vi w) {
#if defined(__AVX512VNNI__)
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)w);
#elif defined(__AVXVNNI__)
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)w);
#elif defined(__AVX2__)
    // The sum of two products of numbers up to 127 fits in 16 bits.
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)a), _mm256_sign_epi8((__m256i)w, (__m256i)a));
    return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__ARM_FEATURE_DOTPROD)
    return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)w);
#elif defined(__wasm_simd128__)
    const auto low = (vi)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16((v128_t)a), wasm_i16x8_extend_low_i8x16((v128_t)w));
    const auto high = (vi)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16((v128_t)a), wasm_i16x8_extend_high_i8x16((v128_t)w));
    return sum + __builtin_shufflevector(low, high, 0, 2, 4, 6) + __builtin_shufflevector(low, high, 1, 3, 5, 7);
#else
#error "int8 weights need an instruction that adds up their products"
#endif
}

inline vi load_whole(const void* p) {
    vi v;
    std::memcpy(&v, p, sizeof v);
    return v;
}

// The largest lane, found by halving.
template <int Distance = kLanes / 2, int... J>
inline whole greatest_lane(vi v, std::integer_sequence<int, J...> lanes) {
    const vi other = __builtin_shufflevector(v, v, (J ^ Distance)...);
    v = v > other ? v : other;
    if constexpr (Distance > 1) return greatest_lane<Distance / 2>(v, lanes);
    return v[0];
}

// The largest |x| of K numbers. They are compared by their bits, so that infinity and NaN count as the largest.
inline real greatest_size(const real* x, std::int64_t K) {
    vi most{};
    const auto meet = [&most](vf numbers) {
        const vi size = bits(numbers) & 0x7fffffff;
        most = most > size ? most : size;
    };
    std::int64_t k = 0;
    for (; k + kLanes <= K; k += kLanes) meet(load(x + k));
    if (k < K) meet(load(x + k, K - k));
    const whole found = greatest_lane(most, std::make_integer_sequence<int, kLanes>{});
    real size;
    std::memcpy(&size, &found, sizeof size);
    return size;
}

// The scale of a row, so that 127 times the scale is the largest number. Quantising again changes nothing, because 127 * scale / 127 equals
// the scale exactly.
inline real scale_of(real greatest) { return greatest / kMost * kMost / kMost; }

// Rounds x * per_step to the nearest integer n, ties to even. The low byte of each lane is that of n + offset: adding 12582912 + offset
// places it in the low bits. (The offset is even, so that it does not change how ties round.)
inline vi rounded_steps(vf x, vf per_step, std::int32_t offset) {
    return bits(fused(x, per_step, splat(static_cast<real>(12582912 + offset))));
}

// The low byte of each lane. Without the explicit shuffle, GCC would convert vectors lane by lane.
template <int... J>
inline bytes_of_lanes low_bytes(vi v, std::integer_sequence<int, J...>) {
#if defined(__AVX512F__)
    return (bytes_of_lanes)_mm512_cvtepi32_epi8((__m512i)v);
#elif defined(__AVX2__)
    return __builtin_shufflevector((bytes)v, (bytes)v, (4 * J)...);
#else
    return __builtin_convertvector(v, bytes_of_lanes);
#endif
}

#if defined(HIDDENSTATE_ADD_PRODUCT) && defined(__AVX512VBMI__)
// The low bytes of four vectors, concatenated.
template <int... J>
inline bytes low_bytes(const vi (&v)[4], std::integer_sequence<int, J...>) {
    const auto of_two = [](vi a, vi b) { return __builtin_shufflevector((bytes)a, (bytes)b, (4 * J % (2 * HIDDENSTATE_BYTES))...); };
    constexpr int kHalf = HIDDENSTATE_BYTES / 2;
    return __builtin_shufflevector(of_two(v[0], v[1]), of_two(v[2], v[3]), (J < kHalf ? J : J + kHalf)...);
}
#endif

// The lanes of a row before its numbers, and its total number of lanes. Matrix registers load rows fastest if they are aligned to cache
// lines.
constexpr std::int64_t kRowHead = kMatrices ? kLanes : 1;
inline std::int64_t lanes_of_row(std::int64_t K) { return kRowHead + (kMatrices ? blocks(filled(K), kLanes) * kLanes : filled(K)); }

// Writes the rounded numbers of a row.
#if defined(HIDDENSTATE_ADD_PRODUCT) && defined(__AVX512VBMI__)
// Writes one register's part at a time, because it is loaded as a whole soon after. (Only rows for matrix registers have room for this.)
inline void write_numbers(const real* x, std::int64_t K, vf per_step, std::int32_t offset, std::int8_t* to) {
    for (std::int64_t k = 0; k < K; k += 4 * kLanes) {
        vi four[4];
        for (std::int64_t j = 0; j < 4; ++j) {
            const std::int64_t at = k + j * kLanes;
            four[j] = rounded_steps(at < K ? load(x + at, K - at) : vf{}, per_step, offset);
        }
        const bytes low = low_bytes(four, std::make_integer_sequence<int, HIDDENSTATE_BYTES>{});
        std::memcpy(to + k, &low, sizeof low);
    }
}
#else
inline void write_numbers(const real* x, std::int64_t K, vf per_step, std::int32_t offset, std::int8_t* to) {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    std::int64_t k = 0;
    for (; k + kLanes <= K; k += kLanes) {
        const bytes_of_lanes low = low_bytes(rounded_steps(load(x + k), per_step, offset), lanes);
        std::memcpy(to + k, &low, sizeof low);
    }
    if (k == K) return;
    const bytes_of_lanes low = low_bytes(rounded_steps(load(x + k, K - k), per_step, offset), lanes);
    std::memcpy(to + k, &low, static_cast<std::size_t>(K - k));
}
#endif

// Writes a row in the form that tiles read; `to` has lanes_of_row(K) elements. If any value of the row is not finite, the scale is NaN, and
// so are all results.
inline void round_row(const real* x, std::int64_t K, bool matrices, real* to) {
    const real greatest = greatest_size(x, K);
    to[kRowHead + filled(K) - 1] = 0;  // zero-pads the last lane
    *to = greatest <= std::numeric_limits<real>::max() ? greatest / kMost : std::numeric_limits<real>::quiet_NaN();
    const vf per_step = splat(greatest > 0 ? kMost / greatest : 0);
    write_numbers(x, K, per_step, matrices ? 0 : kOffset, reinterpret_cast<std::int8_t*>(to + kRowHead));
}

// acc[r] += W a[r], for the first V vectors of a block. A single row is summed in two halves: each addition to a sum waits for the previous
// one, and there would be too few sums to hide that latency.
template <int R, int V>
inline void add_product(const Factors& factors, Start start, Sums* acc) {
    const element* const* const a = factors.a;
    const packed* const w = factors.w;
    constexpr int kParts = R == 1 ? 2 : 1;
    vi sum[kParts][R][V] = {};
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[0][r][v] = load_whole(w + kTile + v * kLanes);
    }
    const std::int64_t n = filled(factors.K), each = n / kParts;
    const packed* const first = w + kHead * kTile;
    const auto add = [&](std::int64_t k, int part) {
        const Row<V> row(first + k * kTile);
        for (int r = 0; r < R; ++r) {
            const vi quad = bits(spread(static_cast<const void*>(a[r] + kRowHead + k)));
            for (int v = 0; v < V; ++v) sum[part][r][v] = add_quads(sum[part][r][v], quad, bits(row.at[v]));
        }
    };
    for (std::int64_t k = 0; k < each; ++k) {
        for (int part = 0; part < kParts; ++part) add(part * each + k, part);
    }
    for (std::int64_t k = kParts * each; k < n; ++k) add(k, 0);
    const Row<V> scale(w);
    for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) {
            vi all = sum[0][r][v];
            for (int part = 1; part < kParts; ++part) all += sum[part][r][v];
            acc[r][v] = fused(__builtin_convertvector(all, vf), scale.at[v] * splat(*a[r]), start.of(r, v));
        }
    }
}

template <int R, int V>
void product(const Factors* products, int count, Start start, Sums* acc) {
    for (int p = 0; p < count; ++p, start = from_sums(acc)) add_product<R, V>(products[p], start, acc);
}
#ifdef HIDDENSTATE_ADD_PRODUCT
// Version of multiply_rows for matrix registers. Sums are complete in memory before they are multiplied by their scales, so nothing else
// need be stored there.
template <int Products, class Use>
inline void multiply_rows_evenly(int rows, int V, const Factors (&products)[Products], Start start, const Use& use) {
    vi sums[Products][kRows][kColumns];
    vf scales[Products][kColumns];
    for (int p = 0; p < Products; ++p) {
        const Factors& of = products[p];
        const std::int64_t bytes = lanes_of_row(of.K) * std::int64_t{sizeof(element)};  // the rows are consecutive in memory
        multiply_evenly(V, rows, RowsRead{reinterpret_cast<const char*>(of.a[0] + kRowHead), bytes}, blocks(filled(of.K), kLanes),
                        PackedBlock<kTile>{of.w + kHead * kTile}, RowsWritten{reinterpret_cast<char*>(sums[p]), sizeof sums[p][0]});
        for (int v = 0; v < V; ++v) scales[p][v] = weights(of.w + v * kLanes);
    }
    for (int r = 0; r < rows; ++r) {
        Sums z;
        for (int v = 0; v < V; ++v) z[v] = start.of(r, v);
        for (int p = 0; p < Products; ++p) {
            const vf scale = splat(*products[p].a[r]);
            for (int v = 0; v < V; ++v) z[v] = fused(__builtin_convertvector(sums[p][r][v], vf), scales[p][v] * scale, z[v]);
        }
        use(r, z);
    }
}
#endif

// Computes two blocks for one row: acc[b] += W[b] a.
inline void tile_of_two(const element* a, std::int64_t K, const packed* const (&w)[2], Sums (&acc)[2]) {
    constexpr int V = kColumns;
    vi sum[2][V];
    for (int b = 0; b < 2; ++b) {
        for (int v = 0; v < V; ++v) sum[b][v] = load_whole(w[b] + kTile + v * kLanes);
    }
    const std::int64_t n = filled(K);
    for (std::int64_t k = 0; k < n; ++k) {
        const vi quad = bits(spread(static_cast<const void*>(a + kRowHead + k)));
        for (int b = 0; b < 2; ++b) {
            const Row<V> row(w[b] + (kHead + k) * kTile);
            for (int v = 0; v < V; ++v) sum[b][v] = add_quads(sum[b][v], quad, bits(row.at[v]));
        }
    }
    for (int b = 0; b < 2; ++b) {
        const Row<V> scale(w[b]);
        for (int v = 0; v < V; ++v) {
            acc[b][v] = fused(__builtin_convertvector(sum[b][v], vf), scale.at[v] * splat(*a), acc[b][v]);
        }
    }
}

// Packs up to kLanes rows of a matrix with K columns as columns that are kTile apart; missing rows are zero.
inline void pack_rows(const element* w, std::int64_t rows, std::int64_t K, packed* to) {
    for (int j = 0; j < kLanes; ++j) {
        const real scale = j < rows ? scale_of(greatest_size(w + j * K, K)) : 0;
        std::int32_t sum = 0;
        for (std::int64_t k = 0; k < 4 * filled(K); k += 4) {
            std::uint32_t quad = 0;
            for (int i = 0; i < 4; ++i) {
                const bool there = scale > 0 && scale <= std::numeric_limits<real>::max() && k + i < K;
                const auto number = there ? static_cast<std::int32_t>(std::nearbyint(w[j * K + k + i] / scale)) : 0;
                sum += number;
                quad |= static_cast<std::uint32_t>(number & 0xff) << (8 * i);
            }
            to[(kHead + k / 4) * kTile + j] = quad;
        }
        for (std::int64_t k = kHead + filled(K); k < depth(K); ++k) to[k * kTile + j] = 0;
        const std::int32_t begins = -kOffset * sum;
        std::memcpy(to + j, &scale, sizeof scale);
        std::memcpy(to + kTile + j, &begins, sizeof begins);
    }
}

}  // namespace
}  // namespace hiddenstate
