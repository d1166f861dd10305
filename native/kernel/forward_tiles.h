// The tiles of the forward scan: the input's part of the pre-activations, one step of the cells, and the projection.
#pragma once

#include <type_traits>

#include "kernel/cell.h"
#include "kernel/partition.h"
#include "kernel/scan.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// The inputs and outputs of one layer and direction of a call, as views of the call's arrays.
struct LayerForward {
    const element* x;  // row (t, n) is at x + t * x_step + n * x_row and has C elements
    LayerDirection<HIDDENSTATE_PRECISION> self;
    const element* h0;            // [N, P]; null means zeros
    const real* c0;               // [N, H]; null means zeros
    const std::int64_t* lengths;  // the call's
    const std::uint8_t* reset;    // the call's
    BorderStates<const element> reset_h;  // of this layer and direction
    BorderStates<const real> reset_c;
    element* out;  // row (t, n) is at out + t * out_step + n * out_row and has P elements; zero past a row's end
    element* h_n;  // [N, P]
    real* c_n;     // [N, H]; during the scan, the cell states of the current step
    std::int64_t T, N, C, H, P, x_step, x_row, out_step, out_row;
    bool reverse;
    int threads;
    bool past_cache;  // whether stores of records bypass the cache
    bool relu;        // for a plain RNN: relu instead of tanh
    int other_plan;   // the call's

    bool projects() const { return self.weights.hr; }
    bool is_edited(std::int64_t t, std::int64_t n) const { return self.edits && self.edits->touches(t, n); }
};

// Computes the input's part of a block's pre-activations, bias + W_ih x, for the rows of a chunk.
struct InputTile {
    const element* const* x;
    std::int64_t C;
    const packed* w;
    const real* bias;
    real* to;  // [rows, kTile]

    void run(Height tall, std::int64_t first) const {
        const Factors factors[] = {{x + first, C, w}};
        if (tall.in_matrices()) {
            multiply_rows(tall, kColumns, factors, {bias, 0}, [&](int r, const Sums& z) {
                for (int g = 0; g < kColumns; ++g) store(to + (first + r) * kTile + g * kLanes, z[g]);
            });
        } else {
            multiply(tall, kColumns, factors, {bias, 0}, reinterpret_cast<Sums*>(to + first * kTile));
        }
    }
};

// Computes one block of units of one step, for its live rows: W_hh h, and then directly the gates and states, while the sums are still in
// registers.
struct StepTile {
    const LayerForward& job;
    std::int64_t t, u, lanes;     // the step; the first unit of the block, and how many of its units exist
    InputTile inputs;             // the inputs of the step's live rows
    bool joins;                   // whether the inputs' product is computed here; otherwise it is read from inputs.to
    const packed* w;              // the block's recurrent weights
    const std::int64_t* rows;     // live rows
    const unsigned char* edited;  // whether an edit affects each of them; null if none does
    const element* const* h;      // their hidden states at the previous step
    const element* const* before; // the uncopied originals of h
    element* to;                  // m = o tanh(c), which equals h without a projection; row n is at to + n * to_row
    std::int64_t to_row;

    void run(Height tall, std::int64_t first) const {
        Cells<kRows> cells;
        const auto cell = [&](int r, const vf (&z)[kBlockSums]) { add(first + r, z, cells); };
        const Factors recurrent{h + first, width(job.P), w};
        if (joins && (kQuads ? tall.in_matrices() : !kMatrices)) {
            const Factors input{inputs.x + first, inputs.C, inputs.w};
            if constexpr (kApart) {  // otherwise the same, compiled for each number of rows
                multiply_both(tall, input, recurrent, inputs.bias, cell);
            } else {
                multiply_columns(tall, {input, recurrent}, {inputs.bias, 0}, cell);
            }
            return cells.store_hidden();
        }
        multiply_recurrent(tall, recurrent, {inputs.to + first * kTile, kTile}, inputs.bias, cell);
        cells.store_hidden();
    }

    // Computes two blocks for a single row.
    static void run_two(const StepTile& one, const StepTile& other) {
        const packed* const w[2] = {one.w, other.w};
        Sums acc[2];
        const StepTile* const both[2] = {&one, &other};
        for (int b = 0; b < 2; ++b) {
            for (int g = 0; g < kColumns; ++g) {
                const bool apart = kApart && g == kGates - 1;
                acc[b][g] = load(apart ? both[b]->inputs.bias + kGates * kLanes : both[b]->inputs.to + g * kLanes);
            }
        }
        tile_of_two(*one.h, width(one.job.P), w, acc);
        Cells<2> cells;
        for (int b = 0; b < 2; ++b) {
            vf sums[kBlockSums];
            with_apart(acc[b], kApart ? load(both[b]->inputs.to + (kGates - 1) * kLanes) : vf{}, sums);
            both[b]->add(0, sums, cells);
        }
        cells.store_hidden();
    }

    // Computes a cell's gates and memory, and adds it to the pending cells, whose h is still to be computed.
    template <class SomeCells>
    [[gnu::always_inline]] void add(std::int64_t r, const vf (&sums)[kBlockSums], SomeCells& cells) const {
        const std::int64_t n = rows[r];
        // Only edited rows take the slow path, because it searches for edits at each of ten places.
        if (edited && edited[r]) return finish_edited(r, sums);
        each_gates(sums, job.relu, {u, lanes}, [&](UnitVector at, const Gates& gates) HIDDENSTATE_INLINE {
            const vf c = State::cell(gates, memory(r, at));
            save(n, at, gates, gates, c);
            cells.add(c, gates, to + n * to_row + at.u, at.lanes);
        });
    }

    [[gnu::noinline]] void finish_edited(std::int64_t r, const vf (&sums)[kBlockSums]) const {
        const std::int64_t n = rows[r];
        each_vector(sums, {u, lanes}, [&](UnitVector at, const vf (&sums)[kSums]) {
            const EditedRow edits{job.self.edits, t, n, at.u, at.lanes};
            const EditedGates gates(edits, sums, job.relu);
            State state = gates.state(edits, memory(r, at));
            if (!job.projects()) edits.apply(kOutput, state.h);
            save(n, at, gates.before, gates.after, state.c);
            store(to + n * to_row + at.u, state.h, at.lanes);
        });
    }

    // The memory before the step: the cell state or, without one, the hidden state.
    vf memory(std::int64_t r, UnitVector at) const {
        return kMemory ? load(job.c_n + rows[r] * job.H + at.u, at.lanes) : load(before[r] + at.u, at.lanes);
    }

    // Stores c for the next step, and the record. `before` holds the gates before edits.
    void save(std::int64_t n, UnitVector at, const Gates& before, const Gates& gates, vf c) const {
        const std::int64_t H = job.H, row = t * job.N + n, u = at.u, lanes = at.lanes;
        if (kMemory) store(job.c_n + n * H + u, c, lanes);
        if (kMemory && job.self.c) store_record(job.self.c + row * H + u, c, lanes, job.past_cache);
        if (job.self.gates) gates.store_to(job.self.gates + row * kRecord * H + u, H, lanes, job.past_cache);
        if (job.self.raw_gates) before.store_to(job.self.raw_gates + row * kRecord * H + u, H, lanes, job.past_cache);
    }
};

// Computes one block of the projection of one step, h = W_hr m, for its live rows.
struct ProjectionTile {
    const LayerForward& job;
    std::int64_t t, u, left;  // the first element of the block, and how many of its elements exist
    const packed* w;
    const std::int64_t* rows;
    const unsigned char* edited;
    const element* const* m;

    void run(Height tall, std::int64_t first) const {
        const int V = vectors_of(left);
        multiply_rows(tall, V, {{m + first, job.H, w}}, kFromZero, [&](int r, const Sums& h) {
            for (int v = 0; v < V; ++v) save(first + r, u + v * kLanes, left - v * kLanes, h[v]);
        });
    }

    void save(std::int64_t r, std::int64_t at, std::int64_t count, vf h) const {
        const std::int64_t n = rows[r], lanes = std::min<std::int64_t>(count, kLanes);
        if (edited && edited[r]) EditedRow{job.self.edits, t, n, at, lanes}.apply(kOutput, h);
        store(job.out + t * job.out_step + n * job.out_row + at, h, lanes);
    }
};

}  // namespace
}  // namespace hiddenstate
