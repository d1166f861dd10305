"""``reset_to=``: states after borders, on every path, compared with separate runs of the pieces."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import hiddenstate as hs
from hiddenstate.base.validation import State
from hiddenstate.engine.call import Call
from hiddenstate.engine.paths.native_path import why_not
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, RankError, ShapeError
from support import (
    TORCH,
    assert_all_close,
    assert_close,
    gradients,
    layer_options,
    pair,
    random_input,
    random_state,
    share,
)

FORMS = ("one", "rows", "steps")


def states_behind(lstm: hs.LSTM, form: str, T: int, N: int) -> State:
    """Random states in one of the three forms."""
    tracks, sizes, dtype = len(lstm.sizes.layer_directions), lstm.sizes, lstm.weight("l0.W_ii").dtype
    axes = {"one": (tracks,), "rows": (tracks, N), "steps": (N, T, tracks) if lstm.batch_first else (T, N, tracks)}
    h, c = (
        torch.randn(*axes[form], units, dtype=dtype, requires_grad=True)
        for units in (sizes.output_size, sizes.hidden_size)
    )
    return h, c


def behind(lstm: hs.LSTM, states: State, t: int, n: int) -> list[Tensor]:
    """The state ``[L*D, units]`` after the border before step t of row n."""
    if states[0].dim() == 2:
        return list(states)
    if states[0].dim() == 3:
        return [part[:, n] for part in states]
    return [part[n, t] if lstm.batch_first else part[t, n] for part in states]


def row_apart(lstm: hs.LSTM, x: Tensor, state: list[Tensor], borders: dict[int, list[Tensor]]) -> tuple[Tensor, ...]:
    """Run the pieces of one row ``[T, C]`` separately, each with its own initial state; return out, h_n and c_n."""
    T = len(x)
    if not T:
        return x.new_zeros(0, lstm.sizes.directions * lstm.sizes.output_size), *state
    forward = torch.tensor([not reverse for _, reverse in lstm.sizes.layer_directions])[:, None]
    cuts = sorted({0, *borders, T})
    pieces = []
    for first, last in pairwise(cuts):
        enters = [
            torch.where(forward, *both)
            for both in zip(borders.get(first, state), borders.get(last, state), strict=True)
        ]
        pieces.append(lstm(x[first:last], (enters[0], enters[1])))
    ends = [torch.where(forward, pieces[-1][1][k], pieces[0][1][k]) for k in range(2)]
    return torch.cat([out for out, _ in pieces]), *ends


def apart(lstm: hs.LSTM, x: Tensor, hx: State, lengths: list[int], reset: Tensor, states: State) -> list[Tensor]:
    """The same run, with every piece of every row run separately: out ``[T, N, D*P]``, time first, h_n and c_n."""
    x, reset = (value.transpose(0, 1) if lstm.batch_first else value for value in (x, reset))
    T, rows = len(x), []
    for n, length in enumerate(lengths):
        borders = {t: behind(lstm, states, t, n) for t in range(length) if reset[t, n]}
        out, h, c = row_apart(lstm, x[:length, n], [part[:, n] for part in hx], borders)
        rows.append((nn.functional.pad(out, (0, 0, 0, T - length)), h, c))
    return [torch.stack(part, dim=1) for part in zip(*rows, strict=True)]


@given(
    layer_options(), st.sampled_from(FORMS), st.integers(1, 7), st.integers(1, 4), st.booleans(), st.integers(0, 999)
)
def test_a_run_is_each_piece_from_its_own_state(
    options: dict[str, Any], form: str, T: int, N: int, ragged: bool, seed: int
) -> None:
    """Outputs, final states, and gradients of inputs, of both kinds of states and of weights."""
    lstm, _ = pair(options, seed)
    x, hx, states = (
        random_input(lstm, T, N, grad=True),
        random_state(lstm, N, grad=True),
        states_behind(lstm, form, T, N),
    )
    reset = torch.rand(x.shape[:2]) < 0.4
    lengths = torch.randint(0, T + 1, (N,)) if ragged else torch.full((N,), T)
    call: dict[str, Any] = {"lengths": lengths if ragged else None, "reset": reset, "reset_to": states}
    assert lstm.path(x, hx, **call).name == "native"
    want = apart(lstm, x, hx, lengths.tolist(), reset, states)
    leaves = [x, *hx, *states, *lstm.parameters()]
    for name in ("auto", "reference"):
        with hs.backend(name):
            out, state = lstm(x, hx, **call)
        got = [out.transpose(0, 1) if lstm.batch_first else out, *state]
        assert_all_close(got, want, name)
        assert_all_close(gradients(got, leaves), gradients(want, leaves), f"gradients, {name}")


@given(st.integers(0, 999), st.sampled_from(FORMS), st.sampled_from([1, 3, 17, 65]), st.booleans())
def test_bfloat16_is_near_float32(seed: int, form: str, size: int, projects: bool) -> None:
    torch.manual_seed(seed)
    lstm = hs.LSTM(size, size, 2, bidirectional=True, proj_size=size // 2 if projects else 0).bfloat16()
    x, states = torch.randn(5, 3, size, dtype=torch.bfloat16), states_behind(lstm, form, 5, 3)
    reset = torch.rand(5, 3) < 0.4
    assert lstm.path(x, reset=reset, reset_to=states).name == "native"
    out, (h_n, c_n) = lstm(x, reset=reset, reset_to=states)
    found = gradients((out, h_n, c_n), states)
    assert [value.dtype for value in (out, h_n, c_n, *found)] == [torch.bfloat16] * 5
    wide = [value.detach().float().requires_grad_() for value in states]
    out_, (h_, c_) = lstm.float()(x.float(), reset=reset, reset_to=(wide[0], wide[1]))
    want = (out_, h_, c_, *gradients((out_, h_, c_), wide))
    for got, exact in zip((out, h_n, c_n, *found), want, strict=True):
        assert share(got, exact) < 0.06


@pytest.mark.parametrize("form", FORMS)
def test_under_autocast(form: str) -> None:
    torch.manual_seed(0)
    lstm, x = hs.LSTM(4, 17), torch.randn(5, 3, 4)
    reset, states = torch.rand(5, 3) < 0.4, states_behind(lstm, form, 5, 3)
    want = lstm(x, reset=reset, reset_to=states)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm.path(x, reset=reset, reset_to=states).name == "native bfloat16"
        out = lstm(x, reset=reset, reset_to=states)[0]
    assert share(out.float(), want) < 0.03
    for got, exact in zip(gradients([out], states), gradients([want], states), strict=True):
        assert got.dtype is torch.float32
        assert share(got, exact) < 0.06


def test_zero_states_are_what_reset_alone_does() -> None:
    lstm, x, reset = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(6, 3, 4), torch.rand(6, 3) < 0.4
    zeros = torch.zeros(4, 5), torch.zeros(4, 5)
    got, want = lstm(x, reset=reset, reset_to=zeros), lstm(x, reset=reset)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1][1], want[1][1])


def test_a_learned_state_is_learned() -> None:
    """The gradient of a shared state is the sum over its borders, and an optimiser descends along it."""
    torch.manual_seed(0)
    lstm, x = hs.LSTM(3, 4), torch.randn(8, 2, 3)
    reset = torch.zeros(8, 2, dtype=torch.bool)
    reset[0] = reset[3, 0] = reset[5, 1] = True
    begin = nn.Parameter(torch.zeros(1, 4)), nn.Parameter(torch.zeros(1, 4))
    want = lstm(x, reset=reset, reset_to=(torch.full((1, 4), 0.5), torch.full((1, 4), -0.5)))[0].detach()
    optimiser = torch.optim.Adam(begin, 0.05)
    losses = []
    for _ in range(200):
        loss = (lstm(x, reset=reset, reset_to=begin)[0] - want).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_no_gradient_crosses_a_border_to_what_was_before() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(6, 1, 3, requires_grad=True)
    reset = torch.tensor([0, 0, 0, 1, 0, 0]).bool()[:, None]
    states = states_behind(lstm, "one", 6, 1)
    out, _ = lstm(x, random_state(lstm, 1), reset=reset, reset_to=states)
    dx, dh, dc = torch.autograd.grad(out[4].sum(), [x, *states])
    assert not dx[:3].any()
    assert dx[3:5].all()
    assert dh.all()
    assert dc.all()
    of_others = torch.autograd.grad(lstm(x, reset=reset, reset_to=states)[0][:3].sum(), states)
    assert not any(value.any() for value in of_others)


def test_nan_in_a_state_that_no_border_takes_does_not_matter() -> None:
    lstm, x = hs.LSTM(3, 4), torch.randn(5, 2, 3)
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[2, 1] = True
    h, c = torch.full((5, 2, 1, 4), float("nan")), torch.full((5, 2, 1, 4), float("nan"))
    h[2, 1], c[2, 1] = 0.5, -0.5
    h.requires_grad_()
    for name in ("auto", "reference"):
        with hs.backend(name):
            out, _ = lstm(x, reset=reset, reset_to=(h, c))
        assert out.isfinite().all()
        (slope,) = torch.autograd.grad(out.sum(), h)
        assert slope.isfinite().all()
        assert slope[2, 1].all()
        assert slope.count_nonzero() == 4


@given(layer_options(), st.sampled_from(FORMS), st.integers(0, 999))
def test_unbatched_is_one_row(options: dict[str, Any], form: str, seed: int) -> None:
    lstm, _ = pair(options, seed)
    x, states = random_input(lstm, 6, 1), states_behind(lstm, form, 6, 1)
    row = 0 if lstm.batch_first else 1
    alone = states if form == "one" else tuple(part.squeeze(1 if form == "rows" else row) for part in states)
    reset = torch.rand(x.shape[:2]) < 0.4
    want, (h_n, c_n) = lstm(x, reset=reset, reset_to=states)
    out, (h, c) = lstm(x.squeeze(row), reset=reset.squeeze(row), reset_to=alone)
    assert_all_close((out, h, c), (want.squeeze(row), h_n[:, 0], c_n[:, 0]))


def test_a_packed_sequence_is_its_padded_rows() -> None:
    lstm, rows = hs.LSTM(4, 5, bidirectional=True), [torch.randn(length, 4) for length in (2, 5, 3)]
    reset, states = torch.rand(5, 3) < 0.5, states_behind(lstm, "steps", 5, 3)
    out, state = lstm(pack_sequence(rows, enforce_sorted=False), reset=reset, reset_to=states)
    padded, lengths = pad_packed_sequence(out)
    want, want_state = lstm(nn.utils.rnn.pad_sequence(rows), lengths=lengths, reset=reset, reset_to=states)
    assert_all_close((padded, *state), (want, *want_state))


def test_traces_and_edits_at_the_same_time() -> None:
    """Recorded values and gradients are the reference's; the record contains the states after borders."""
    torch.manual_seed(0)
    lstm, x = hs.LSTM(4, 5, 2, bidirectional=True), torch.randn(6, 3, 4)
    reset, states = torch.rand(6, 3) < 0.4, states_behind(lstm, "steps", 6, 3)
    reset[3, 1] = True
    edits = hs.scale("l0.c", 0.5, t=2), hs.set("l1.f", 0.25, unit=1), hs.add("l1r.h", 0.5, row=1)
    traces = []
    for name in ("auto", "reference"):
        with hs.backend(name), lstm.edit(*edits):
            traces.append(lstm.trace(x, reset=reset, reset_to=states))
    got, want = ([*trace.state, *trace.values.values()] for trace in traces)
    leaves = [*states, *lstm.parameters()]
    assert_all_close(got, want)
    assert_all_close(gradients(got, leaves), gradients(want, leaves), "gradients")
    assert torch.equal(traces[0].cell_before(0, row=1)[3], states[1][3, 1, 0])
    assert torch.equal(traces[0].cell_before(1, reverse=True, row=1)[2], states[1][3, 1, 3])
    assert traces[0].at(t=3, unit=2, row=1)["c_prev"] == states[1][3, 1, 0, 2].item()


def test_gradients_of_gradients() -> None:
    torch.manual_seed(0)
    lstm, x = hs.LSTM(2, 3, dtype=torch.float64), torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    reset = torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]).bool()

    def run(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        out, state = lstm(x, reset=reset, reset_to=(h, c))
        return out, *state

    for form in FORMS:
        states = states_behind(lstm, form, 4, 2)
        assert torch.autograd.gradcheck(run, (x, *states))
        assert torch.autograd.gradgradcheck(run, (x, *states), fast_mode=True)


def test_vmap_over_states_is_a_loop() -> None:
    lstm, x, reset = hs.LSTM(3, 4), torch.randn(5, 2, 3), torch.rand(5, 2) < 0.5
    h, c = torch.randn(7, 1, 4), torch.randn(7, 1, 4)
    got = torch.func.vmap(lambda h, c: lstm(x, reset=reset, reset_to=(h, c))[0])(h, c)
    want = torch.stack([lstm(x, reset=reset, reset_to=(one, other))[0] for one, other in zip(h, c, strict=True)])
    assert_close(got, want)


class Policy(nn.Module):
    """A memory with a learned first state, and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = hs.LSTM(4, 5, 2, batch_first=True)
        self.begin = nn.ParameterList([torch.randn(2, 5), torch.randn(2, 5)])
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor, reset: Tensor) -> Tensor:
        out, _ = self.lstm(x, reset=reset, reset_to=(self.begin[0], self.begin[1]))
        logits: Tensor = self.head(out)
        return logits


@pytest.mark.parametrize("training", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_compiles_whole(training: bool) -> None:
    torch._dynamo.reset()
    model = Policy().train(training)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for T, N in ((5, 2), (7, 3), (1, 4)):
        x, reset = torch.randn(N, T, 4, requires_grad=True), torch.rand(N, T) < 0.4
        got, want = compiled(x, reset), model(x, reset)
        assert_close(got, want)
        leaves, weighing = [x, *model.parameters()], torch.randn_like(want)
        mine, theirs = (torch.autograd.grad(out, leaves, weighing) for out in (got, want))
        assert_all_close(mine, theirs, "gradients")
    torch._dynamo.reset()


@pytest.mark.parametrize("form", FORMS)
def test_compiles_with_states_that_are_given(form: str) -> None:
    torch._dynamo.reset()
    lstm, x, reset = hs.LSTM(4, 5), torch.randn(6, 3, 4), torch.rand(6, 3) < 0.4
    states = states_behind(lstm, form, 6, 3)
    run = torch.compile(lambda *states: lstm(x, reset=reset, reset_to=states), fullgraph=True, backend="aot_eager")
    (got, _), (want, _) = run(*states), lstm(x, reset=reset, reset_to=states)
    assert_close(got, want)
    assert_all_close(gradients([got], states), gradients([want], states), "gradients")
    torch._dynamo.reset()


@pytest.mark.skipif(TORCH < (2, 6), reason="torch.export of older versions has other rules for open sizes")
def test_exports_with_open_sizes() -> None:
    model = Policy().eval()
    T, N = torch.export.Dim("T", min=2), torch.export.Dim("N", min=2)
    shapes = {"x": {0: N, 1: T}, "reset": {0: N, 1: T}}
    program = torch.export.export(
        model, (torch.randn(3, 5, 4), torch.zeros(3, 5, dtype=torch.bool)), dynamic_shapes=shapes
    )
    assert any(node.target is torch.ops.hiddenstate.recurrent.default for node in program.graph.nodes)
    x, reset = torch.randn(7, 11, 4), torch.rand(7, 11) < 0.3
    assert_close(program.module()(x, reset), model(x, reset))


def operands(dtype: torch.dtype, *, by_step: bool) -> tuple[Any, ...]:
    """Arguments of the operator, with states after borders."""
    torch.manual_seed(0)
    lstm = hs.LSTM(2, 3, 2, bidirectional=True, proj_size=2, dtype=dtype)
    x, states = torch.randn(4, 2, 2, dtype=dtype), random_state(lstm, 2)
    behind_borders = random_state(lstm, 8 if by_step else 2)
    leaves = [value.detach().requires_grad_() for value in (x, *states, *behind_borders)]
    weights = [value.detach().requires_grad_() for value in lstm.parameters()]
    reset = torch.rand(4, 2) < 0.5
    options: list[Any] = [torch.tensor([4, 3]), reset, [], True, True, "LSTM", True, False]
    return leaves[0], leaves[1:3], leaves[3:], weights, *options


# torch's own check accesses .grad of computed tensors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("by_step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_torch_finds_no_fault_with_the_operator(by_step: bool) -> None:
    """Nor with its derivative, with all or only some of its inputs."""
    arguments = operands(torch.float32, by_step=by_step)
    operator, backward = torch.ops.hiddenstate.recurrent.default, torch.ops.hiddenstate.recurrent_backward.default
    assert set(torch.library.opcheck(operator, arguments).values()) == {"SUCCESS"}
    with torch.no_grad():
        outputs = operator(*arguments)
    leaves = 5 + len(arguments[3])
    for needed in ([True] * leaves, [k % 3 == 0 for k in range(leaves)]):
        given = (*arguments[:10], outputs[0], outputs[3:], [torch.randn_like(value) for value in outputs[:3]], needed)
        detached = torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, given)
        assert set(torch.library.opcheck(backward, detached).values()) == {"SUCCESS"}


@pytest.mark.parametrize("by_step", [pytest.param(False, marks=pytest.mark.slow), True])
def test_derivatives_of_the_operator(by_step: bool) -> None:
    x, states, borders, weights, *options = operands(torch.float64, by_step=by_step)

    def run(*leaves: Tensor) -> tuple[Tensor, ...]:
        groups = list(leaves[1:3]), list(leaves[3:5]), list(leaves[5:])
        return tuple(torch.ops.hiddenstate.recurrent(leaves[0], *groups, *options)[:3])

    leaves = (x, *states, *borders, *weights)
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)


Z, FLAGS = torch.zeros, torch.zeros(3, 2, dtype=torch.bool)
WRONG: list[tuple[dict[str, Any], type[Exception], type[Exception], str]] = [
    ({"reset_to": (Z(1, 5), Z(1, 5))}, ArgumentError, ValueError, "give both"),
    ({"reset": FLAGS, "reset_to": Z(1, 5)}, ArgumentTypeError, TypeError, "reset_to must be a tuple of two"),
    ({"reset": FLAGS, "reset_to": (Z(1, 5), 0)}, ArgumentTypeError, TypeError, "c of reset_to must be a torch.Tensor"),
    (
        {"reset": FLAGS, "reset_to": (Z(1, 5), Z(1, 5).double())},
        DtypeError,
        ValueError,
        r"c of reset_to dtype \(torch.float64\) does not match",
    ),
    (
        {"reset": FLAGS, "reset_to": (Z(1, 5), Z(1, 5).to("meta"))},
        DeviceError,
        RuntimeError,
        "c of reset_to is on meta",
    ),
    (
        {"reset": FLAGS, "reset_to": (Z(5), Z(5))},
        RankError,
        RuntimeError,
        r"1-D, expected \[L\*D, P\] or \[L\*D, N, P\] or",
    ),
    ({"reset": FLAGS, "reset_to": (Z(1, 5), Z(1, 2, 5))}, RankError, RuntimeError, "h of reset_to is 2-D and c is 3-D"),
    (
        {"reset": FLAGS, "reset_to": (Z(2, 5), Z(2, 5))},
        ShapeError,
        RuntimeError,
        r"\[2, 5\], expected \[L\*D, P\] = \[1, 5\]",
    ),
    ({"reset": FLAGS, "reset_to": (Z(1, 2, 5), Z(1, 3, 5))}, ShapeError, RuntimeError, r"\[L\*D, N, H\] = \[1, 2, 5\]"),
    (
        {"reset": FLAGS, "reset_to": (Z(2, 3, 1, 5), Z(2, 3, 1, 5))},
        ShapeError,
        RuntimeError,
        r"\[2, 3, 1, 5\], expected \[T, N, L\*D, P\] = \[3, 2, 1, 5\]",
    ),
]


@pytest.mark.parametrize(("given", "kind", "builtin", "message"), WRONG)
def test_bad_states_fail(given: dict[str, Any], kind: type[Exception], builtin: type[Exception], message: str) -> None:
    lstm, x = hs.LSTM(4, 5), torch.randn(3, 2, 4)
    for run in (lstm, lstm.path, lstm.trace):
        with pytest.raises(kind, match=message) as caught:
            run(x, **given)
        assert isinstance(caught.value, builtin)


def test_bad_states_of_other_layouts_fail() -> None:
    first, alone = hs.LSTM(4, 5, batch_first=True), hs.LSTM(4, 5)
    with pytest.raises(ShapeError, match=r"expected \[N, T, L\*D, P\] = \[2, 3, 1, 5\]"):
        first(Z(2, 3, 4), reset=FLAGS.T, reset_to=(Z(3, 2, 1, 5), Z(3, 2, 1, 5)))
    with pytest.raises(ShapeError, match=r"expected \[T, L\*D, P\] = \[3, 1, 5\]"):
        alone(Z(3, 4), reset=FLAGS[:, 0], reset_to=(Z(1, 1, 5), Z(1, 1, 5)))


def test_mixed_types_go_to_the_reference() -> None:
    """Native code takes cell states of only two types."""
    lstm, x = hs.LSTM(4, 5), torch.randn(3, 2, 4)
    h0, c0 = random_state(lstm, 2)
    call = Call(lstm.sizes, lstm._weights(), x, h0, c0, reset=FLAGS, reset_h=h0, reset_c=c0.double())
    assert "types are mixed" in str(why_not(call))


def test_explanations_refuse_them() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = hs.LSTM(4, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            out, _ = self.lstm(x, reset=torch.ones(3, 1, dtype=torch.bool), reset_to=(Z(1, 5), Z(1, 5)))
            logits: Tensor = self.head(out)
            return logits

    with pytest.raises(ArgumentError, match="explanations need resets to zero"):
        hs.explain.subject(Wrapped(), torch.randn(3, 1, 4))
