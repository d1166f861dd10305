// Checks every compiled scan that this CPU runs against the reference, through kernel/scan.h, without Python.
#include "allocator.h"
#include "nan.h"
#include "nonlinearity.h"
#include "plans.h"
#include "cells.h"
#include "helpers.h"
#include "int8.h"
#include "stacks.h"
#include "subnormals.h"
#include "thread_tuners.h"
#include "tracks.h"

using namespace hiddenstate;
using namespace hiddenstate::test;

namespace {

// Checks a gradient of the reference against finite differences of its loss.
void check_slopes(Track& k, const reference::Given& given, Numbers Track::*part, const Numbers& gradient) {
    constexpr double kStep = 1e-5, kOff = 1e-8;
    for (Size j = 0; j < static_cast<Size>(gradient.size()); ++j) {
        double& v = reference::at(k.*part, j);
        const double before = v;
        v = before + kStep;
        const double above = reference::loss(k, given);
        v = before - kStep;
        const double below = reference::loss(k, given);
        v = before;
        checks::close("gradient", j, reference::at(gradient, j), (above - below) / (2 * kStep), kOff);
    }
}

// Checks the reference's derivative, which is written by hand.
void check_reference(reference::Cell cell) {
    Random random(0);
    for (Size problem = 0; problem < 30; ++problem) {
        const With with{random.coin(), random.coin(), true, true, true, false, 0};
        Track k = random_track(random, {4, 2, 2, 3, cell}, with, problem);
        const Described described("reference", k, with);
        const reference::Given given = random_given(random, k, kAll);
        const reference::Gradients got = reference::backward(k, reference::forward(k), given);
        check_slopes(k, given, &Track::x, got.x), check_slopes(k, given, &Track::b_ih, got.b);
        check_slopes(k, given, &Track::b_hh, got.b_hh);
        check_slopes(k, given, &Track::w_ih, got.w_ih), check_slopes(k, given, &Track::w_hh, got.w_hh);
        check_slopes(k, given, &Track::h0, got.h0), check_slopes(k, given, &Track::c0, got.c0);
    }
}

template <class P>
void check_scans(const std::vector<const Scan<P>*>& compiled) {
    for (const Scan<P>* scan : compiled) {
        checks::context = std::string(P::name) + " " + scan->cell + " " + scan->isa;
        if (cell_of(*scan) == CellKind::lstm) check_nonlinearities(*scan);  // all kinds have the same
        check_stored(*scan), check_tracks(*scan), check_stacks(*scan), check_cells(*scan);
        check_nan_stays(*scan), check_nan_stays_in_steps(*scan);
        check_subnormals(*scan), check_subnormals_in_steps(*scan);
        std::printf("%s: %lld checks so far\n", checks::context.c_str(), static_cast<long long>(checks::made));
    }
}

}  // namespace

int main() {
    for (const Cell& cell : kCells) check_reference(cell.kind);
    check_thread_tuners();
    check_plans(), check_plan_tuners();
    check_helpers();
    check_allocator();
    for (const Cell& cell : kCells) {
        check_scans(scans<F32>(cell.kind)), check_scans(scans<F64>(cell.kind)), check_scans(scans<BF16>(cell.kind)), check_int8_scans(cell.kind);
    }
    return checks::report();
}
