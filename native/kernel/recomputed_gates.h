// Recomputes the gates of a chunk in the backward pass, if the forward pass did not save them.
//
// By then the inputs and hidden states of all steps are known, so no step waits for another, and the pre-activations of a whole chunk are
// computed in one product. They are summed in the same order as in the forward pass (bias, input, hidden state), so the gates match to the
// last bit.
#pragma once

#include <algorithm>
#include <vector>

#include "kernel/cell.h"
#include "kernel/chunk_inputs.h"
#include "kernel/partition.h"
#include "kernel/tile.h"

namespace hiddenstate {
namespace {

// Computes one block of units for some rows of a chunk.
struct GateTile {
    const BackwardState& state;
    const ChunkRows& rows;
    const element* const* x;  // each row's input, and the hidden state before it
    const element* const* h;
    std::int64_t from;  // the index of the first of these rows in the chunk
    std::int64_t b;     // the block of units

    void run(Height tall, std::int64_t first) const {
        const LayerBackward& job = state.job;
        const packed* w = state.gate_weights.block(b);
        const real* bias = state.gate_weights.bias(b);
        multiply_both(tall, {x + first, width(job.C), w}, {h + first, width(job.P), w + kTile * depth(job.C)}, bias,
                      [&](int r, const vf (&sums)[kBlockSums]) { finish(from + first + r, sums); });
    }

    // Computes the gates before their edits, from edited pre-activations.
    void finish(std::int64_t i, const vf (&block)[kBlockSums]) const {
        const LayerBackward& job = state.job;
        const std::int64_t t = rows.t(i), n = rows.n(i), u = b * kUnits;
        const bool edited = job.is_edited(t, n);
        each_vector(block, {u, std::min<std::int64_t>(kUnits, job.H - u)}, [&](UnitVector at, const vf (&sums)[kSums]) {
            const EditedRow edits{job.self.edits, t, n, at.u, at.lanes};
            const Gates gates = edited ? EditedGates(edits, sums, job.relu).before : Gates(sums, job.relu);
            gates.store_to(state.gates(i) + at.u, job.H, at.lanes, false);
        });
    }
};

// One thread's part of the recomputation.
class RecomputedGates {
public:
    RecomputedGates(const BackwardState& state, const ChunkRows& rows, int thread, int threads)
        : state_(state), rows_(rows), inputs_(state.job, rows), thread_(thread), threads_(threads) {
        if (!state.job.gates) x_.resize(kGroup), h_.resize(kGroup);
    }

    // The work items are pairs of a group of rows and a block of units. Adjacent pairs share the group, so its rows are still in the cache
    // when a thread continues with the next block.
    void run() {
        const std::int64_t count = rows_.count(), each = blocks(state_.job.H, kUnits);
        const Range mine = part(blocks(count, kGroup) * each, thread_, threads_);
        std::int64_t listed = -1;
        for (std::int64_t pair = mine.first; pair < mine.last; ++pair) {
            const std::int64_t group = pair / each, first = group * kGroup, rows = std::min(kGroup, count - first);
            if (group != listed) list(first, rows);
            listed = group;
            for_tiles(rows, GateTile{state_, rows_, x_.data(), h_.data(), first, pair % each});
        }
    }

private:
    void list(std::int64_t first, std::int64_t rows) {
        for (std::int64_t r = 0; r < rows; ++r) {
            x_[static_cast<std::size_t>(r)] = inputs_.x(first + r), h_[static_cast<std::size_t>(r)] = inputs_.h_before(first + r);
        }
        even_x_.take(x_.data(), rows, state_.job.C, kMatrices);
        even_h_.take(h_.data(), rows, state_.job.P, kMatrices);
    }

    // The number of rows that are multiplied by a block of weights before the next block.
    static constexpr std::int64_t kGroup = 16 * kRows;

    const BackwardState& state_;
    const ChunkRows& rows_;
    const ChunkInputs inputs_;
    const int thread_, threads_;
    std::vector<const element*> x_, h_;
    EvenRows even_x_, even_h_;
};

}  // namespace
}  // namespace hiddenstate
