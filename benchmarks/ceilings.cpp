// What this machine can do at most: float32 multiply-adds a second, and bytes read a second from each level of memory.
//
//     ceilings THREADS BYTES...      a size for each level; prints JSON, each figure for one thread and for all
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace {

// The widest register there is: a wider vector would be split, and the sums would not fit the registers.
#if defined(__AVX512F__)
constexpr int BYTES = 64;
#elif defined(__AVX__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif
typedef float Vector __attribute__((vector_size(BYTES)));
constexpr int LANES = BYTES / sizeof(float);

// Independent sums: enough to hide the latency of one, and no more than the registers hold.
constexpr int SUMS = 12;
struct Block {
    Vector at[SUMS];
};

constexpr int ROUNDS = 5;
constexpr double ROUND_SECONDS = 0.03;

using Clock = std::chrono::steady_clock;
// Does some work and returns how much it was. What it computes goes through `kept`, so that it must be computed.
using Work = std::function<double(float& kept)>;

float total(const Block& sums) {
    float sum = 0;
    for (const Vector& value : sums.at)
        for (int lane = 0; lane < LANES; ++lane) sum += value[lane];
    return sum;
}

// Floating-point operations done.
double multiply_add(float& kept) {
    constexpr int STEPS = 1 << 14;
    // The sums tend to 1 and stay there: neither infinite nor denormal.
    const Vector factor = Vector{} + 0.999f, summand = Vector{} + 0.001f;
    Block sums;
    for (int k = 0; k < SUMS; ++k) sums.at[k] = Vector{} + (kept + static_cast<float>(k));
    for (int step = 0; step < STEPS; ++step)
        for (Vector& value : sums.at) value = value * factor + summand;
    kept = total(sums) / (SUMS * LANES);
    return 2.0 * STEPS * SUMS * LANES;
}

// Reads a buffer of its own from end to end, so often that looking at the clock costs nothing beside it.
class Reader {
public:
    explicit Reader(std::size_t bytes) : blocks_(std::max<std::size_t>(1, bytes / sizeof(Block))) {}

    // Bytes read.
    double operator()(float& kept) const {
        const std::size_t bytes = blocks_.size() * sizeof(Block);
        const std::size_t passes = 1 + (std::size_t{4} << 20) / bytes;
        Block sums = {};
        for (std::size_t pass = 0; pass < passes; ++pass)
            for (const Block& block : blocks_)
                for (int k = 0; k < SUMS; ++k) sums.at[k] += block.at[k];
        kept += total(sums);
        return static_cast<double>(passes * bytes);
    }

private:
    std::vector<Block> blocks_;
};

// Work a second of all threads together, each from the moment when all are ready.
double rate_once(int threads, const std::function<Work()>& make) {
    std::atomic<int> waiting{threads};
    std::vector<double> rates(threads);
    std::vector<std::thread> running;
    for (int k = 0; k < threads; ++k)
        running.emplace_back([&, k] {
            const Work work = make();  // here, so that its memory is near this thread's core
            float kept = 0;
            double done = 0, seconds = 0;
            --waiting;
            while (waiting) {
            }
            const Clock::time_point start = Clock::now();
            while (seconds < ROUND_SECONDS) {
                done += work(kept);
                seconds = std::chrono::duration<double>(Clock::now() - start).count();
            }
            volatile float sink = kept;
            static_cast<void>(sink);
            rates[k] = done / seconds;
        });
    for (std::thread& thread : running) thread.join();
    double sum = 0;
    for (const double rate : rates) sum += rate;
    return sum;
}

// The best of several rounds: a ceiling is what the machine can do when nothing disturbs it.
double rate(int threads, const std::function<Work()>& make) {
    double best = 0;
    for (int round = 0; round < ROUNDS; ++round) best = std::max(best, rate_once(threads, make));
    return best;
}

void print(const char* name, double one, double all, const char* end) {
    std::printf("\"%s\": {\"one\": %.6g, \"all\": %.6g}%s", name, one, all, end);
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    const int threads = std::max(1, std::atoi(arguments[1]));
    const auto peak = [] { return Work(multiply_add); };
    std::printf("{");
    print("flops", rate(1, peak), rate(threads, peak), ", \"read\": [");
    for (int k = 2; k < count; ++k) {
        const std::size_t bytes = std::strtoull(arguments[k], nullptr, 10);
        const auto reader = [bytes] { return Work(Reader(bytes)); };
        std::printf("{");
        print("rate", rate(1, reader), rate(threads, reader), k + 1 < count ? "}, " : "}");
    }
    std::printf("]}\n");
}
