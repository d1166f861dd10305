// The products that follow a chunk of the backward scan: dx = dg W_ih, and the sums over all steps dW_ih += dg^T x, dW_hh += dg^T h, dW_hr
// += dh^T m, db += dg.
//
// Each product is divided among all threads, by rows or columns; threads with no work in the scan take part too. The threads first gather
// the other factors of the products; after a barrier, each computes its part. The parts do not overlap, so no two threads add to the same
// sum, and each sum adds the rows in order, whatever the number of threads.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernel/backward_state.h"
#include "kernel/chunk_inputs.h"
#include "kernel/input_gradients.h"
#include "kernel/weight_gradients.h"

namespace hiddenstate {
namespace {

// One thread's part of the products.
class ChunkProducts {
public:
    ChunkProducts(const BackwardState& state, const ChunkRows& rows, int thread, int threads)
        : state_(state), job_(state.job), rows_(rows), inputs_(state.job, rows), thread_(thread), threads_(threads),
          gate_part_(vectors(kGates * job_.H, thread, threads)), hidden_part_(vectors(job_.P, thread, threads)),
          zeros_(static_cast<std::size_t>(std::max(kSlopes * job_.H, job_.C))),
          packed_(kPairs ? packed_size(std::max(gate_part_.size(), hidden_part_.size())) : 0) {}

    // Packs the other factors of the products: the inputs, the hidden states before each step, and m.
    void gather() const {
        constexpr std::int64_t each = kPairs ? 2 : 1;
        const Range mine = part(depth(rows_.count()), thread_, threads_);
        for (std::int64_t k = mine.first; k < mine.last; ++k) {
            const auto put = [&](const WeightGradient& of, const auto& row) {
                if (of.to) of.put(k, row_or_zeros(each * k, row), row_or_zeros(each * k + 1, row));
            };
            put(state_.of_x, [&](std::int64_t i) { return inputs_.x(i); });
            put(state_.of_h, [&](std::int64_t i) { return inputs_.h_before(i); });
            put(state_.of_m, [&](std::int64_t i) { return state_.m.data() + i * job_.H; });
        }
    }

    // The work items are pairs of a block of columns and a group of rows. Adjacent pairs share the block, so it is still in the cache when
    // a thread continues with the next group.
    void input_gradients() const {
        if (!job_.dx) return;
        const std::int64_t count = rows_.count(), groups = blocks(count, kGroup);
        const Range mine = part(blocks(job_.C, kTile) * groups, thread_, threads_);
        for (std::int64_t pair = mine.first; pair < mine.last; ++pair) {
            const std::int64_t u = pair / groups * kTile, first = pair % groups * kGroup;
            const InputGradient<element> product{state_.dg_rows.data() + first, kGates * job_.H, state_.w_ih.data(),
                                                 rows_.all_at() + first, job_.dx, job_.C};
            product.run(std::min(kGroup, count - first), {u, std::min(u + kTile, job_.C)}, false);
        }
    }

    // Adds the chunk to this thread's part of the sums. `is_first` means that the sums are still uninitialised.
    void weight_gradients(bool is_first) const {
        if (job_.gradients.ih || job_.gradients.hh) {
            PackedGradients dg = pack(state_.dg.data(), state_.dg_step, gate_part_);
            if (job_.gradients.ih) add(state_.of_x, dg, gate_part_, is_first);
            if (kRecurrent && job_.gradients.hh) dg = pack(state_.dg.data() + kRecurrent * job_.H, state_.dg_step, gate_part_);
            if (job_.gradients.hh) add(state_.of_h, dg, gate_part_, is_first);
        }
        if (job_.gradients.hr) {
            add(state_.of_m, pack(state_.dh.data(), state_.dh_step, hidden_part_), hidden_part_, is_first);
        }
        if (job_.gradients.bias) add_biases(state_.of_bias, 0, is_first);
        if (job_.gradients.bias_hh) add_biases(state_.of_bias_hh, kRecurrent * job_.H, is_first);
    }

    // Stores this thread's part of the sums as gradients. Except for bfloat16, the weights' sums are already in place, because their
    // gradients have the same type.
    void store_sums() const {
        if constexpr (kPairs) {
            for (const WeightGradient* of : {&state_.of_x, &state_.of_h, &state_.of_m}) {
                const Range mine = of == &state_.of_m ? hidden_part_ : gate_part_;
                if (of->to) store_all(of->sums(), mine.first * of->columns, mine.last * of->columns, of->to);
            }
        }
        if (job_.gradients.bias) store_all(state_.of_bias.data(), gate_part_.first, gate_part_.last, job_.gradients.bias);
        if (job_.gradients.bias_hh) store_all(state_.of_bias_hh.data(), gate_part_.first, gate_part_.last, job_.gradients.bias_hh);
    }

private:
    // Gradients in the form that the tiles of a weight gradient read.
    struct PackedGradients {
        const packed* at;
        std::int64_t step;
    };

    // Appends zeros past the last row: pairs and matrix registers read rows in groups, and the last group may be incomplete.
    template <class Get>
    const element* row_or_zeros(std::int64_t i, const Get& row) const {
        return i < rows_.count() ? row(i) : zeros_.data();
    }

    void add(const WeightGradient& to, const PackedGradients& gradients, Range mine, bool is_first) const {
        for (std::int64_t u = 0; u < to.columns; u += kTile) {
            const std::int64_t left = to.columns - u;
            for_tiles(mine.size(), WeightTile{gradients.at, gradients.step, to.block(u), depth(rows_.count()),
                                              to.sums() + mine.first * to.columns + u, to.columns, left, is_first});
        }
    }

    // Adds the gradients, starting at `column`, to a bias's gradient, a few vectors at a time.
    void add_biases(const Buffer<real>& sums, std::int64_t column, bool is_first) const {
        for (std::int64_t g = gate_part_.first; g < gate_part_.last; g += kTile) {
            const std::int64_t left = gate_part_.last - g;
            const int V = vectors_of(left);
            Sums acc = {};
            for (std::int64_t i = 0; i < rows_.count(); ++i) {
                const element* row = state_.dg.data() + i * state_.dg_step + column + g;
                // Loads whole vectors: values past the last gate are padding of dg, and are not stored. Missing vectors repeat the last.
                for (int v = 0; v < kColumns; ++v) acc[v] += load(row + std::min(v, V - 1) * kLanes, kLanes);
            }
            for (int v = 0; v < V; ++v) {
                real* const to = sums.data() + g + v * kLanes;
                if (!is_first) acc[v] += load(to, left - v * kLanes);
                store(to, acc[v], left - v * kLanes);
            }
        }
    }

    // Packs some columns of the chunk's gradients [rows, step] in the form that the instruction set multiplies. float and double stay
    // unchanged; for pairs, two rows are interleaved; for matrix registers, the rows are transposed, so that all rows of a column are
    // contiguous.
    PackedGradients pack(const element* gradients, std::int64_t step, Range mine) const {
        const element* first = gradients + mine.first;
        const auto row = [&](std::int64_t i) { return row_or_zeros(i, [&](std::int64_t i) { return first + i * step; }); };
        if constexpr (!kPairs) {
            return {reinterpret_cast<const packed*>(first), step};  // the same type here
        } else if constexpr (kMatrices) {
            transpose_rows(row, mine.size());
            return {packed_.data(), packed_step(mine.size())};
        } else {
            const std::int64_t to = packed_step(mine.size());
            for (std::int64_t k = 0; k < depth(rows_.count()); ++k) {
                interleave(row(2 * k), row(2 * k + 1), mine.size(), packed_.data() + k * to);
            }
            return {packed_.data(), to};
        }
    }

    // One cache line more than a row needs, so that rows don't map to the same cache sets.
    std::int64_t packed_step(std::int64_t columns) const { return (kMatrices ? depth(state_.chunk_rows) : columns) + kLanes; }

    std::int64_t packed_size(std::int64_t columns) const {
        return (kMatrices ? columns : depth(state_.chunk_rows)) * packed_step(columns);
    }

    // Transposes the chunk's rows of pairs, with `columns` elements each, one square of vectors at a time.
    template <class Row>
    void transpose_rows(const Row& row, std::int64_t columns) const {
#ifdef HIDDENSTATE_ADD_PRODUCT
        for (std::int64_t k = 0; k < depth(rows_.count()); k += kLanes) {
            for (std::int64_t u = 0; u < columns; u += kLanes) {
                vf square[kLanes];
                for (int j = 0; j < kLanes; ++j) {
                    const std::int64_t i = 2 * (k + j);
                    square[j] = pairs_of(row(i) + u, row(i + 1) + u, columns - u);
                }
                transpose(square);
                for (std::int64_t j = 0; j < std::min<std::int64_t>(kLanes, columns - u); ++j) {
                    std::memcpy(packed_.data() + (u + j) * packed_step(columns) + k, &square[j], sizeof(vf));
                }
            }
        }
#else
        (void)row, (void)columns;
#endif
    }

    static void store_all(const real* sums, std::int64_t first, std::int64_t last, element* to) {
        for (std::int64_t k = first; k < last; k += kLanes) store(to + k, load(sums + k, last - k), last - k);
    }

    // The number of rows that are multiplied by a block of W_ih before the next block: few enough that both stay in the cache.
    static constexpr std::int64_t kGroup = 8 * kRows;

    const BackwardState& state_;
    const LayerBackward& job_;
    const ChunkRows& rows_;
    const ChunkInputs inputs_;
    const int thread_, threads_;
    const Range gate_part_, hidden_part_;  // the pre-activations and the elements of the hidden state whose weight gradients this thread sums
    const std::vector<element> zeros_;
    const Buffer<packed> packed_;
};

}  // namespace
}  // namespace hiddenstate
