// The inputs and previous hidden states that the steps of a backward chunk read.
#pragma once

#include <vector>

#include "kernel/backward_state.h"

namespace hiddenstate {
namespace {

class ChunkInputs {
public:
    ChunkInputs(const LayerBackward& job, const ChunkRows& rows)
        : job_(job), rows_(rows), order_{job}, zeros_(static_cast<std::size_t>(job.P)) {}

    // The input of the i-th live row of the chunk.
    const element* x(std::int64_t i) const { return job_.x + rows_.t(i) * job_.x_step + rows_.n(i) * job_.x_row; }

    // The hidden state before the step of the i-th live row.
    const element* h_before(std::int64_t i) const {
        const std::int64_t t = rows_.t(i), n = rows_.n(i);
        if (order_.cut(t, n)) return job_.reset_h.first ? at_border(job_.reset_h, order_.border(t), n) : zeros_.data();
        if (order_.is_first(t, n)) return job_.h0 + n * job_.P;
        return job_.out + order_.before(t) * job_.out_step + n * job_.out_row;
    }

private:
    const LayerBackward& job_;
    const ChunkRows& rows_;
    const Order<LayerBackward> order_;
    const std::vector<element> zeros_;
};

}  // namespace
}  // namespace hiddenstate
