"""Which path computes a call, and the reasons against the faster ones."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import hiddenstate as hs
from hiddenstate.engine import autocast, dispatch, fast, kernels
from hiddenstate.engine.dispatch import PATHS
from hiddenstate.errors import ShapeError

DOCS = Path(__file__).parents[2] / "docs" / "paths.md"

pytestmark = pytest.mark.skipif(
    kernels.isa() is None or not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"),
    reason="needs the native module and torch's table of functions",
)


def test_the_documentation_lists_the_paths() -> None:
    rows = [line.split("|")[1:3] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = [(name.strip().strip("`"), what.strip()) for name, what in rows]
    assert listed[0][0] == "fast"
    assert listed[1:] == [(path.name, path.what) for path in PATHS]


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
    "bfloat16": ({"dtype": torch.bfloat16}, PLAIN, {}, "native", {"fast": "of torch.bfloat16"}),
    "edit": ({}, lambda lstm: lstm.edit(hs.zero("l0.f")), {}, "native", {"fast": "edits are in force"}),
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
        dict.fromkeys(["native", "native by layer", "native bfloat16", "torch"], "is in force")
        | {"fast": "a block of edits"},
    ),
    "autocast": (
        {},
        lambda _: torch.autocast("cpu", dtype=torch.bfloat16),
        {},
        "native bfloat16",
        dict.fromkeys(["fast", "native", "native by layer"], "torch.autocast is on"),
    ),
    "half": (
        {"dtype": torch.float16},
        PLAIN,
        {},
        "torch",
        dict.fromkeys(["native", "native by layer"], "no native kernel for torch.float16")
        | {"fast": "of torch.float16", "native bfloat16": "autocast"},
    ),
    "transform": (
        {},
        lambda _: a_transform(),
        {},
        "reference",
        dict.fromkeys(["fast", "native", "native by layer"], "forward-mode derivative")
        | {"native bfloat16": "autocast", "torch": "transforms"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_call_takes_the_path_that_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, scope, given, path, reasons = CASES[name]
    lstm = hs.LSTM(4, 3, **options)
    x = torch.randn(5, 2, 4).to(options.get("dtype"))
    taken: list[str] = []

    def watched(one: dispatch.Path) -> dispatch.Path:
        def run(call: Any) -> Any:
            taken.append(one.name)
            return one.run(call)

        return one._replace(run=run)

    def run_fast(*arguments: Any) -> Any:
        done = found(*arguments)
        taken.extend(["fast"] if done is not None else [])
        return done

    found = fast.run_differentiable
    monkeypatch.setattr(dispatch, "PATHS", tuple(watched(one) for one in PATHS))
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
    told: list[dispatch.PathReport] = []
    lstm.register_forward_pre_hook(lambda module, given: told.append(module.path(*given)))
    trace = lstm.trace(x, keep=["l0.f"])
    assert trace["l0.f"].shape == (5, 2, 3)
    assert told[0].name == "native"
    assert "a trace records the call" in told[0].reasons["fast"]


@pytest.mark.parametrize("name", CASES)
def test_each_condition_is_asked_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options, scope, given, _, _ = CASES[name]
    asked: list[dispatch.Condition] = []

    @cache  # paths that share a condition still do
    def counted(condition: dispatch.Condition) -> dispatch.Condition:
        def ask(call: Any) -> str | None:
            asked.append(condition)
            return condition(call)

        return ask

    rows = tuple(path._replace(conditions=tuple(map(counted, path.conditions))) for path in PATHS)
    monkeypatch.setattr(dispatch, "PATHS", rows)
    lstm = hs.LSTM(4, 3, **options)
    with scope(lstm):
        lstm.path(torch.randn(5, 2, 4).to(options.get("dtype")), **given)
    assert asked
    assert len(set(asked)) == len(asked)


def test_nothing_is_cast_to_ask_for_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    casts: list[Any] = []
    cast = autocast.cast

    def counted(call: Any) -> Any:
        casts.append(call)
        return cast(call)

    monkeypatch.setattr(autocast, "cast", counted)
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert lstm.path(x).name == "native bfloat16"
        assert casts == []
        lstm(x)
    assert len(casts) == 1


def test_path_fails() -> None:
    with pytest.raises(ShapeError, match="Expected 4, got 5"):
        hs.LSTM(4, 3).path(torch.randn(5, 2, 5))
