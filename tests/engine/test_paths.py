"""Which path computes a call, and the reasons against the faster ones."""

import pathlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import hiddenstate as hs
from hiddenstate.engine import cell_steps, dispatch, kernels, native
from hiddenstate.engine.call import PathReport
from hiddenstate.engine.dispatch import CELL_PATHS, PATHS, STREAM_PATHS, Path
from hiddenstate.engine.paths import fast, native_path, torch_path
from hiddenstate.errors import ArgumentError, RankError, ShapeError

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "paths.md"

pytestmark = pytest.mark.skipif(
    kernels.isa() is None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"),
    reason="needs the native module and torch's table of functions",
)


def test_the_documentation_lists_the_paths() -> None:
    rows = [line.split("|")[1:3] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = [(name.strip().strip("`"), what.strip()) for name, what in rows]
    assert listed[0][0] == "fast"
    assert listed[1:] == [(path.name, path.what) for path in (PATHS | STREAM_PATHS).values()] + [
        (path.name, path.what) for path in CELL_PATHS.values()
    ]


@contextmanager
def a_transform() -> Iterator[None]:
    with torch.autograd.forward_ad.dual_level():
        yield


# A case: the LSTM's options, the open blocks, the arguments besides x, the path, and each reason.
Case = tuple[dict[str, Any], Callable[[hs.LSTM], AbstractContextManager[Any]], dict[str, Any], str, dict[str, str]]
PLAIN: Callable[[hs.LSTM], AbstractContextManager[Any]] = lambda _: nullcontext()  # noqa: E731
RESET = torch.zeros(5, 2, dtype=torch.bool)
CASES: dict[str, Case] = {
    "plain": ({}, PLAIN, {}, "fast", {}),
    "ragged": ({}, PLAIN, {"lengths": torch.tensor([5, 0])}, "fast", {}),
    "lengths as a list": ({}, PLAIN, {"lengths": [5, 0]}, "native", {"fast": "lengths"}),
    "reset": ({}, PLAIN, {"reset": RESET}, "native", {"fast": "reset= is given"}),
    "dropout": ({"num_layers": 2, "dropout": 0.5}, PLAIN, {}, "native", {"fast": "dropout is drawn in training"}),
    "bfloat16": ({"dtype": torch.bfloat16}, PLAIN, {}, "fast", {}),
    "edit": ({}, lambda lstm: lstm.edit(hs.zero("l0.f")), {}, "native", {"fast": "edits are active"}),
    "readout edit": (
        {"num_layers": 2},
        lambda lstm: lstm.edit(hs.zero("l1.h", scope="readout")),
        {},
        "native by layer",
        {"fast": "edits", "native": r"the edit of l1\.h changes only the output"},
    ),
    "edit with gradient": (
        {},
        lambda lstm: lstm.edit(hs.set("l0.f", to=torch.ones((), requires_grad=True))),
        {},
        "native by layer",
        {"fast": "edits", "native": "has a value with gradient"},
    ),
    "reference": (
        {},
        lambda _: hs.backend("reference"),
        {},
        "reference",
        dict.fromkeys(["native", "native by layer", "native bfloat16", "native float16", "torch"], "is active")
        | {"fast": "a block of edits"},
    ),
    "autocast": (
        {},
        lambda _: torch.autocast("cpu", dtype=torch.bfloat16),
        {},
        "native bfloat16",
        dict.fromkeys(["fast", "native", "native by layer"], "torch.autocast is on") | {"native float16": "autocast"},
    ),
    "half": (
        {"dtype": torch.float16},
        PLAIN,
        {},
        "native float16",
        dict.fromkeys(["native", "native by layer"], "no native kernel for torch.float16")
        | {"fast": "gradient is needed", "native bfloat16": "autocast"},
    ),
    "transform": (
        {},
        lambda _: a_transform(),
        {},
        "reference",
        dict.fromkeys(["fast", "native", "native by layer"], "forward-mode derivative")
        | {"native bfloat16": "autocast", "native float16": "autocast", "torch": "transforms"},
    ),
}


def watched(one: Path, taken: list[str]) -> Path:
    """The same path, which notes when it is taken."""

    def run(*given: Any) -> Any:
        taken.append(one.name)
        return one.run(*given)

    return one._replace(run=run)


@pytest.mark.parametrize("name", CASES)
def test_a_call_takes_the_path_that_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, scope, given, path, reasons = CASES[name]
    lstm = hs.LSTM(4, 3, **options)
    x = torch.randn(5, 2, 4).to(options.get("dtype"))
    taken: list[str] = []

    def run_fast(*arguments: Any) -> Any:
        done = found(*arguments)
        taken.extend(["fast"] if done is not None else [])
        return done

    found = fast.run_differentiable
    monkeypatch.setattr(dispatch, "PATHS", {one.name: watched(one, taken) for one in PATHS.values()})
    monkeypatch.setattr(fast, "run_differentiable", run_fast)
    with scope(lstm):
        report = lstm.path(x, **given)
        assert taken == [], "nothing is computed"
        lstm(x, **given)
    assert taken == [path] == [report.name]
    assert report.reasons.keys() == reasons.keys()
    for which, pattern in reasons.items():
        assert re.search(pattern, report.reasons[which]), report.reasons[which]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x.repeat(1, 1, 2)[..., ::2], r"not contiguous in its last axis: give x.contiguous\(\)"),
        (nn.Parameter, "is a Parameter of torch.float32"),
    ],
)
def test_an_input_that_is_not_fast(change: Callable[[Tensor], Tensor], reason: str) -> None:
    report = hs.LSTM(4, 3).path(change(torch.randn(5, 2, 4)))
    assert report.name == "native"
    assert re.search(reason, report.reasons["fast"])
    assert f"not 'fast': {report.reasons['fast']}" in str(report)


def test_weights_and_states_that_are_not_fast() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    state = torch.zeros(1, 3, 2).mT, torch.zeros(1, 2, 3)
    assert re.search("h0 is .* not a contiguous tensor", lstm.path(x, state).reasons["fast"])

    class Twice(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return 2 * value

    parametrize.register_parametrization(lstm, "weight_hh_l0", Twice())
    assert re.search("weight_hh is recomputed at each call", lstm.path(x).reasons["fast"])


def test_a_path_that_is_asked_for_inside_a_trace_leaves_the_trace_alone() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    told: list[PathReport] = []
    lstm.register_forward_pre_hook(lambda module, given: told.append(module.path(*given)))
    trace = lstm.trace(x, keep=["l0.f"])
    assert trace["l0.f"].shape == (5, 2, 3)
    assert told[0].name == "native"
    assert "a trace records the call" in told[0].reasons["fast"]


@pytest.mark.parametrize("name", CASES)
def test_each_condition_is_asked_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, scope, given, _, _ = CASES[name]
    asked: list[object] = []

    def counted(room: Any, condition: str) -> None:
        ask = getattr(room, condition)

        def asking(*given: Any, **cast: Any) -> str | None:
            asked.append((room, condition, *cast.values()))
            answer: str | None = ask(*given, **cast)
            return answer

        monkeypatch.setattr(room, condition, asking)

    for room, condition in (
        (fast, "why_not_plain"),
        (fast, "why_not"),
        (native_path, "why_not_whole"),
        (native_path, "why_not"),
        (native_path, "casting_form"),
        (torch_path, "why_not"),
        (dispatch, "_why_only_reference"),
        (dispatch, "_traced_path"),
    ):
        counted(room, condition)
    lstm = hs.LSTM(4, 3, **options)
    with scope(lstm):
        lstm.path(torch.randn(5, 2, 4).to(options.get("dtype")), **given)
    assert asked
    assert len(set(asked)) == len(asked)


def test_nothing_is_cast_to_ask_for_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    casts: list[Any] = []
    cast = native_path.cast

    def counted(form: str, call: Any) -> Any:
        casts.append(call)
        return cast(form, call)

    monkeypatch.setattr(native_path, "cast", counted)
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert lstm.path(x).name == "native bfloat16"
        assert casts == []
        lstm(x)
    assert len(casts) == 1


def test_path_fails() -> None:
    with pytest.raises(ShapeError, match="Expected 4, got 5"):
        hs.LSTM(4, 3).path(torch.randn(5, 2, 5))


@pytest.mark.parametrize("shape", [(4, 2), (8,), (1, 8), (3, 5), (0, 4)])
def test_the_path_of_a_stream_fails_as_its_step_does(shape: tuple[int, ...]) -> None:
    stream, x = hs.LSTM(4, 3).stream(batch=2), torch.zeros(shape)
    with pytest.raises((ShapeError, RankError)) as of_step:
        stream.step(x)
    with pytest.raises(type(of_step.value)) as of_path:
        stream.path(x)
    assert str(of_path.value) == str(of_step.value)


def test_a_cells_reasons_are_true() -> None:
    on_meta = hs.LSTMCell(4, 3, device="meta").path(torch.zeros(2, 4, device="meta"))
    assert "is on meta, not on the CPU" in str(on_meta)
    subclass = type("Sub", (torch.Tensor,), {})
    assert "is a Sub, not one of torch's own" in str(hs.LSTMCell(4, 3).path(torch.zeros(2, 4).as_subclass(subclass)))


NO_REFERENCE = 'backend\\("reference"\\) is active'
# A case: what the layer has, what is in force, the number of steps, the path, and some of the reasons.
STREAM_CASES: dict[
    str, tuple[dict[str, Any], Callable[[hs.LSTM], AbstractContextManager[Any]], int, str, dict[str, str]]
] = {
    "a step": ({}, PLAIN, 1, "packed", {}),
    "a few steps": ({}, PLAIN, 4, "packed", {}),
    "many steps": ({}, PLAIN, 5, "native", {"packed": "for more than 4 steps"}),
    "bfloat16": ({"dtype": torch.bfloat16}, PLAIN, 1, "packed", {}),
    "half": (
        {"dtype": torch.float16},
        PLAIN,
        1,
        "packed",
        {},
    ),
    "projection": ({"proj_size": 2}, PLAIN, 1, "native", {"packed": "there is a projection"}),
    "edit": ({}, lambda lstm: lstm.edit(hs.zero("l0.f")), 1, "native", {"packed": "edits are active"}),
    "reference": (
        {},
        lambda _: hs.backend("reference"),
        1,
        "reference",
        {"packed": NO_REFERENCE, "torch": NO_REFERENCE},
    ),
    "autocast": ({}, lambda _: torch.autocast("cpu", dtype=torch.bfloat16), 1, "packed", {}),
    "transform": ({}, lambda _: a_transform(), 1, "reference", {"packed": "forward-mode derivative"}),
}


@pytest.mark.parametrize("name", STREAM_CASES)
def test_a_stream_takes_the_path_that_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, scope, count, path, reasons = STREAM_CASES[name]
    lstm = hs.LSTM(4, 3, **options)
    stream, x = lstm.stream(2), torch.randn(count, 2, 4).to(options.get("dtype"))
    taken: list[str] = []
    for table in ("PATHS", "STREAM_PATHS"):
        paths = getattr(dispatch, table).values()
        monkeypatch.setattr(dispatch, table, {one.name: watched(one, taken) for one in paths})
    with scope(lstm):
        before = stream.path(x)
        assert (taken, stream.t) == ([], 0), "nothing is computed"
        stream.feed(x)
    assert [one for one in taken if one != "call"] == [path] == [before.name]
    assert ("packed" in before.reasons) == (path != "packed")
    for which, pattern in reasons.items():
        assert re.search(pattern, before.reasons[which]), before.reasons[which]


def test_a_stream_of_hooked_or_recomputed_weights() -> None:
    lstm = hs.LSTM(4, 3)
    parametrize.register_parametrization(lstm, "weight_hh_l0", nn.Identity())
    assert "a weight is recomputed at each call" in lstm.stream().path(torch.zeros(4)).reasons["packed"]
    hooked = hs.LSTM(4, 3)
    stream = hooked.stream()
    hooked.register_forward_pre_hook(lambda *_: None)
    with pytest.raises(ArgumentError, match="a stream would not run"):
        stream.path(torch.zeros(4))


def test_the_path_of_a_stream_fails() -> None:
    with pytest.raises(ShapeError, match="this stream was made for batch=1"):
        hs.LSTM(4, 3).stream().path(torch.zeros(2, 4))
    with pytest.raises(RankError, match="give a step"):
        hs.LSTM(4, 3).stream().path(torch.zeros(1, 1, 1, 4))


def columns(x: Tensor) -> Tensor:
    """The same values, not contiguous."""
    return x.repeat_interleave(2, -1)[..., ::2]


# A case: the type, what is in force, what changes the input, the path, and the reason against each faster one.
CELL_CASES: dict[
    str, tuple[torch.dtype, Callable[[hs.LSTMCell], AbstractContextManager[Any]], Any, str, dict[str, str]]
] = {
    "plain": (torch.float32, lambda _: nullcontext(), nn.Identity(), "native", {}),
    "a block": (torch.float32, lambda _: hs.backend("auto"), nn.Identity(), "native", {}),
    "not contiguous": (torch.float32, lambda _: nullcontext(), columns, "native", {}),
    "half": (
        torch.float16,
        lambda _: nullcontext(),
        nn.Identity(),
        "torch",
        {"native": "no native kernel for torch.float16"},
    ),
    "no rows": (torch.float32, lambda _: nullcontext(), lambda x: x[:0], "torch", {"native": "there are no rows"}),
    "autocast": (
        torch.float32,
        lambda _: torch.autocast("cpu", dtype=torch.bfloat16),
        nn.Identity(),
        "torch",
        {"native": "torch.autocast is on for the CPU"},
    ),
    "edit": (
        torch.float32,
        lambda cell: cell.edit(hs.zero("f")),
        nn.Identity(),
        "reference",
        dict.fromkeys(["native", "torch"], "edits are active"),
    ),
    "reference": (
        torch.float32,
        lambda _: hs.backend("reference"),
        nn.Identity(),
        "reference",
        dict.fromkeys(["native", "torch"], "is active"),
    ),
    "transform": (
        torch.float32,
        lambda _: a_transform(),
        nn.Identity(),
        "reference",
        dict.fromkeys(["native", "torch"], "forward-mode derivative"),
    ),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("kind", [hs.LSTMCell, hs.GRUCell, hs.RNNCell])
@pytest.mark.parametrize("name", CELL_CASES)
def test_a_cell_takes_the_path_that_is_said(name: str, kind: Any, grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype, scope, change, path, reasons = CELL_CASES[name]
    if kind is hs.RNNCell and name == "edit":
        pytest.skip("it has no gate")
    cell, x = kind(4, 3, dtype=dtype), change(torch.randn(2, 4, dtype=dtype))
    taken: list[str] = []

    def compute(*given: Any) -> Any:
        done = computed(*given)
        taken.extend(["native"] if done is not None else [])
        return done

    computed = cell_steps.compute
    monkeypatch.setattr(cell_steps, "compute", compute)
    rows = {one.name: one if one.name == "native" else watched(one, taken) for one in CELL_PATHS.values()}
    monkeypatch.setattr(dispatch, "CELL_PATHS", rows)
    edited = "f" if kind is hs.LSTMCell else "z"
    with torch.set_grad_enabled(grad), cell.edit(hs.zero(edited)) if name == "edit" else scope(cell):
        report = cell.path(x)
        assert taken == [], "nothing is computed"
        cell(x)
    assert taken == [path] == [report.name]
    assert report.reasons.keys() == reasons.keys()
    for which, pattern in reasons.items():
        assert pattern in report.reasons[which]


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("input", torch.zeros(2, 5), "input is [2, 5]"),
        ("input", torch.zeros(2, 4).bfloat16(), "h is [2, 3] of torch.float32"),
        ("input", torch.zeros(2, 4, dtype=torch.int64), "input is [2, 4] of torch.int64"),
        ("input", torch.zeros(2, 4).mT.contiguous().mT, None),
        ("h", torch.zeros(2, 4), "h is [2, 4]"),
        ("h", nn.Buffer(torch.zeros(2, 3)), None),
        ("c", torch.zeros(3, 2).mT, None),
        ("c", torch.zeros(2, 3).double(), "c is [2, 3] of torch.float64"),
        ("weight_ih", torch.zeros(12, 5), "weight_ih is [12, 5]"),
        ("weight_hh", None, "weight_hh is recomputed at each call"),
        ("bias_ih", torch.zeros(24)[::2], "bias_ih is [12] of torch.float32, strides (2,)"),
        ("bias_hh", None, None),
    ],
)
def test_native_code_says_why_it_declines_a_step(argument: str, value: Tensor | None, said: str | None) -> None:
    given: dict[str, Any] = {"input": torch.zeros(2, 4), "h": torch.zeros(2, 3), "c": torch.zeros(2, 3)}
    weights: dict[str, Any] = {name: weight.detach() for name, weight in hs.LSTMCell(4, 3).named_parameters()}
    (given if argument in given else weights)[argument] = value
    steps, arguments = kernels.cell_steps["LSTM"], (given["input"], (given["h"], given["c"]), weights, (4, 3))
    refused = steps.why_not(*arguments)
    assert (steps.run(*arguments) is None) == (refused is not None) == (said is not None)
    if said is not None:
        assert said in native.refusal_text(*refused)
