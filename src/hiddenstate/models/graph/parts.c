/* Functions that exported models call; a file gets those that it needs, between blank lines, under its own names.
   Matrices are stored by columns, so that the inner loops are over neighbours and compilers vectorise them. */
#include <math.h>
#include <stdint.h>
#include <string.h>

/* e to the power of x, to about 1e-7 of it; no libm, so that compilers can vectorise loops with it. */
static inline float exponential(float x)
{
    float v = x < 88.0f ? x : 88.0f;
    v = v > -87.0f ? v : -87.0f;
    const int32_t n = (int32_t)(v * 1.44269504f + (v < 0.0f ? -0.5f : 0.5f));
    const float k = (float)n, r = (v - k * 0.693359375f) + k * 2.12194440e-4f;
    const float p = 1.0f + r * (1.0f + r * (0.5f + r * (0.166666667f + r * (4.16666667e-2f
                  + r * (8.33333333e-3f + r * 1.38888889e-3f)))));
    const int32_t bits = (n + 127) * 8388608;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x == x ? p * scale : x;
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

static inline float hyperbolic(float x)
{
    return 2.0f / (1.0f + exponential(-2.0f * x)) - 1.0f;
}

/* y = b + W x, with W [in][out]; b may be null. */
static void matrix(const float *restrict x, int32_t in, const float *restrict w, const float *restrict b, int32_t out,
                   float *restrict y)
{
    int32_t k = 0;
    for (int32_t j = 0; j < out; ++j) y[j] = b ? b[j] : 0.0f;
    for (; k < in - in % 4; k += 4, w += 4 * out) {
        const float x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        const float *w1 = w + out, *w2 = w + 2 * out, *w3 = w + 3 * out;
        for (int32_t j = 0; j < out; ++j) y[j] += x0 * w[j] + x1 * w1[j] + (x2 * w2[j] + x3 * w3[j]);
    }
    for (; k < in; ++k, w += out) {
        for (int32_t j = 0; j < out; ++j) y[j] += x[k] * w[j];
    }
}

/* y = b + scale (W x), with W [in][out] as integers, and x as it is. */
static void matrix_of_int8(const float *restrict x, int32_t in, const int8_t *restrict w, const float *restrict scale,
                           const float *restrict b, int32_t out, float *restrict y)
{
    int32_t k = 0;
    for (int32_t j = 0; j < out; ++j) y[j] = 0.0f;
    for (; k < in - in % 4; k += 4, w += 4 * out) {
        const float x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        const int8_t *w1 = w + out, *w2 = w + 2 * out, *w3 = w + 3 * out;
        for (int32_t j = 0; j < out; ++j) {
            y[j] += x0 * (float)w[j] + x1 * (float)w1[j] + (x2 * (float)w2[j] + x3 * (float)w3[j]);
        }
    }
    for (; k < in; ++k, w += out) {
        for (int32_t j = 0; j < out; ++j) y[j] += x[k] * (float)w[j];
    }
    for (int32_t j = 0; j < out; ++j) y[j] = y[j] * scale[j] + (b ? b[j] : 0.0f);
}

/* y = b + scale s (W q), with W [out][in] and q, x rounded to 127 steps of s, as integers; out is 4 or more. */
static void matrix_int8(const float *restrict x, int32_t in, const int8_t *restrict w, const float *restrict scale,
                        const float *restrict b, int32_t out, int8_t *restrict q, float *restrict y)
{
    float most = 0.0f;
    for (int32_t k = 0; k < in; ++k) {
        const float size = x[k] < 0.0f ? -x[k] : x[k];
        most = size > most || size != size ? size : most; /* a NaN stays */
    }
    const float s = most - most == 0.0f ? most / 127.0f : most - most, per_step = most > 0.0f ? 127.0f / most : 0.0f;
    for (int32_t k = 0; k < in; ++k) {
        const float shifted = fmaf(x[k], per_step, 12582912.0f); /* the integer, ties to even, is in its lowest bits */
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        q[k] = (int8_t)(bits & 255u);
    }
    for (int32_t j = 0; j < out; j += 4) {
        const int32_t first = j + 4 <= out ? j : out - 4; /* the last four overlap those before */
        const int8_t *w0 = w + first * in, *w1 = w0 + in, *w2 = w1 + in, *w3 = w2 + in;
        int32_t sums[4] = {0, 0, 0, 0};
        for (int32_t k = 0; k < in; ++k) {
            sums[0] += q[k] * w0[k];
            sums[1] += q[k] * w1[k];
            sums[2] += q[k] * w2[k];
            sums[3] += q[k] * w3[k];
        }
        for (int32_t k = first; k < first + 4; ++k) y[k] = (float)sums[k - first] * (scale[k] * s) + (b ? b[k] : 0.0f);
    }
}

/* One step; a and b are the gates' sums of the input and of h, in the order i f g o. */
static void lstm(int32_t H, const float *a, const float *b, float *h, float *c)
{
    for (int32_t k = 0; k < H; ++k) {
        const float i = sigmoid(a[k] + b[k]), f = sigmoid(a[H + k] + b[H + k]);
        const float g = hyperbolic(a[2 * H + k] + b[2 * H + k]), o = sigmoid(a[3 * H + k] + b[3 * H + k]);
        c[k] = f * c[k] + i * g;
        h[k] = o * hyperbolic(c[k]);
    }
}

/* One step; a and b are the gates' sums of the input and of h, in the order r z n. */
static void gru(int32_t H, const float *a, const float *b, float *h)
{
    for (int32_t k = 0; k < H; ++k) {
        const float r = sigmoid(a[k] + b[k]), z = sigmoid(a[H + k] + b[H + k]);
        const float n = hyperbolic(a[2 * H + k] + r * b[2 * H + k]);
        h[k] = n + z * (h[k] - n);
    }
}

static void rnn_tanh(int32_t H, const float *a, const float *b, float *h)
{
    for (int32_t k = 0; k < H; ++k) h[k] = hyperbolic(a[k] + b[k]);
}

static void rnn_relu(int32_t H, const float *a, const float *b, float *h)
{
    for (int32_t k = 0; k < H; ++k) h[k] = a[k] + b[k] < 0.0f ? 0.0f : a[k] + b[k]; /* a NaN stays */
}

/* x [rows][groups * each][length] to y [rows][groups * out][steps]; w [groups][each * taps][out], by columns. */
static void convolution(const float *x, int32_t rows, int32_t groups, int32_t each, int32_t length, int32_t left,
                        const float *w, const float *b, int32_t out, int32_t taps, int32_t stride, int32_t dilation,
                        int32_t steps, float *t, float *y)
{
    for (int32_t g = 0; g < rows * groups; ++g, x += each * length, y += out * steps) {
        const int32_t group = g % groups;
        for (int32_t step = 0; step < steps; ++step) {
            for (int32_t k = 0; k < each * taps; ++k) {
                const int32_t at = step * stride - left + k % taps * dilation;
                t[k] = at >= 0 && at < length ? x[k / taps * length + at] : 0.0f;
            }
            matrix(t, each * taps, w + group * each * taps * out, b ? b + group * out : 0, out, t + each * taps);
            for (int32_t j = 0; j < out; ++j) y[j * steps + step] = t[each * taps + j];
        }
    }
}

/* Move each channel's last inputs one step back, and put x behind them. */
static void shift(float *past, int32_t channels, int32_t length, const float *x)
{
    for (int32_t c = 0; c < channels; ++c, past += length) {
        for (int32_t k = 0; k + 1 < length; ++k) past[k] = past[k + 1];
        past[length - 1] = x[c];
    }
}

static void normalise(const float *x, int32_t rows, int32_t n, const float *w, const float *b, float eps, float *y)
{
    for (int32_t r = 0; r < rows; ++r, x += n, y += n) {
        float mean = 0.0f, variance = 0.0f;
        for (int32_t k = 0; k < n; ++k) mean += x[k];
        mean /= (float)n;
        for (int32_t k = 0; k < n; ++k) variance += (x[k] - mean) * (x[k] - mean);
        const float factor = 1.0f / sqrtf(variance / (float)n + eps);
        for (int32_t k = 0; k < n; ++k) y[k] = (x[k] - mean) * factor * (w ? w[k] : 1.0f) + (b ? b[k] : 0.0f);
    }
}

/* Over the axis of n of x [outer][n][inner]. */
static void softmax(const float *x, int32_t outer, int32_t n, int32_t inner, float *y)
{
    for (int32_t o = 0; o < outer * inner; ++o) {
        const int32_t at = o / inner * n * inner + o % inner;
        float most = x[at], sum = 0.0f;
        for (int32_t k = 1; k < n; ++k) {
            const float next = x[at + k * inner];
            most = next > most || next != next ? next : most; /* a NaN stays */
        }
        for (int32_t k = 0; k < n; ++k) {
            const float e = exponential(x[at + k * inner] - most);
            y[at + k * inner] = e;
            sum += e;
        }
        for (int32_t k = 0; k < n; ++k) y[at + k * inner] /= sum;
    }
}

/* Over the axis of n of x [outer][n][inner]; y may be x. */
static void mean(const float *x, int32_t outer, int32_t n, int32_t inner, float *y)
{
    for (int32_t o = 0; o < outer * inner; ++o) {
        const int32_t at = o / inner * n * inner + o % inner;
        float sum = 0.0f;
        for (int32_t k = 0; k < n; ++k) sum += x[at + k * inner];
        y[o] = sum / (float)n;
    }
}

/* Over the axis of n of x [outer][n][inner]; y may be x. */
static void maximum(const float *x, int32_t outer, int32_t n, int32_t inner, float *y)
{
    for (int32_t o = 0; o < outer * inner; ++o) {
        const int32_t at = o / inner * n * inner + o % inner;
        float most = x[at];
        for (int32_t k = 1; k < n; ++k) {
            const float next = x[at + k * inner];
            most = next > most || next != next ? next : most; /* a NaN stays */
        }
        y[o] = most;
    }
}

/* The largest difference, in units of what is allowed: that of rounding, or a part of the number. */
static float compare(const float *got, const float *want, int32_t n, float rounding, float tolerance, float least,
                     float worst)
{
    for (int32_t k = 0; k < n; ++k) {
        const float size = want[k] < 0.0f ? -want[k] : want[k];
        const float error = got[k] < want[k] ? want[k] - got[k] : got[k] - want[k];
        const float part = tolerance * (size > least ? size : least);
        const float share = error / (part > rounding ? part : rounding);
        if (!(share <= worst)) worst = share;
    }
    return worst;
}
