"""Public functions and methods given arguments that could crash or exhaust the process: freed memory, huge inputs and
numbers."""

import copy
import inspect
import pickle
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate import explain, plant
from hiddenstate.errors import DtypeError, HiddenStateError
from hiddenstate.models import model_folder as folder
from hiddenstate.nn.recurrent import Recurrent

# Weights for so many features take more than a page of memory: a freed one can't be read by chance.
X = torch.randn(5, 1, 64)
OF = "l0.h[0]@4"


def free(value: Tensor) -> Tensor:
    value.untyped_storage().resize_(0)
    return value


def freed(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return free(torch.zeros(shape, dtype=dtype))


def freed_weight(module: nn.Module) -> Any:
    """A module whose largest parameter, or buffer, has no memory."""
    free(max([*module.parameters(), *module.buffers()], key=Tensor.numel).detach())
    return module


def maker(kind: Callable[..., nn.Module], **options: Any) -> Callable[[], Any]:
    return lambda: freed_weight(kind(64, 64, **options).eval())


lstm, int8, gru, rnn = maker(hs.LSTM), maker(hs.LSTM, weights="int8"), maker(hs.GRU), maker(hs.RNN)
cell, gru_cell, rnn_cell = maker(hs.LSTMCell), maker(hs.GRUCell), maker(hs.RNNCell)


def whole() -> hs.LSTM:
    return hs.LSTM(64, 64).eval()


def streamed() -> hs.ModelStream:
    return hs.stream(nn.Sequential(whole()), X)


def freed_trace() -> hs.Trace:
    trace = whole().trace(X)
    for value in trace.values.values():
        free(value.detach())
    return trace


def result(value: Any) -> Any:
    """A result whose tensors have no memory."""
    parts = vars(value).values() if hasattr(value, "__dict__") else value
    for part in parts:
        if isinstance(part, Tensor):
            free(part.detach())
        elif isinstance(part, (dict, tuple, list)):
            result(part.values() if isinstance(part, dict) else part)
    return value


def freed_subject() -> explain.Subject:
    found = explain.subject(whole(), X.clone())
    free(found.x)
    return found


def accelerated(module: nn.Module, *args: Any) -> None:
    with hs.accelerate():
        module(*args)


def held(module: nn.Module) -> None:
    with hs.constant_weights(module), torch.no_grad():
        module(X)


def edited(edit: hs.Edit) -> None:
    with (whole_lstm := whole()).edit(edit):
        whole_lstm(X)


def edited_cell(edit: hs.Edit, x: Tensor | None = None) -> None:
    with (whole_cell := hs.LSTMCell(4, 64)).edit(edit):
        whole_cell(torch.zeros(2, 4) if x is None else x)


def freed_layers() -> tuple[nn.Embedding, nn.LSTM, nn.Linear]:
    return nn.Embedding(5, 4), freed_weight(nn.LSTM(4, 64)), nn.Linear(64, 5)


def small_plant() -> plant.Plant:
    found = plant.latch()
    freed_weight(found.lstm)
    return found


@cache
def another(input_size: int, hidden_size: int) -> hs.LSTM:
    torch.manual_seed(1)
    return hs.LSTM(input_size, hidden_size)


def negative(x: Tensor) -> Tensor:
    """``-x``, or an input that is freed or huge as it is."""
    return -x if x.untyped_storage().nbytes() >= x.nbytes else x


ONE, OTHER = torch.zeros(64), torch.ones(64)
# An explanation tool has one row: its result's class, or "" if that holds no tensors, and a call with a layer and an
# input. The row is tested with freed weights, a freed and a huge input, interrupts, and a result whose memory is freed.
TOOLS: dict[str, tuple[str, Callable[[Any, Tensor], Any]]] = {
    "attribute": ("Attribution", lambda layer, x: explain.attribute(layer, x, of=OF)),
    "compare": ("Comparison", lambda layer, x: hs.compare(layer, another(layer.input_size, layer.hidden_size), x)),
    "graph": ("", lambda layer, x: explain.graph(layer, x, of=OF)),
    "importance": ("Importance", lambda layer, x: explain.importance(nn.Sequential(layer), x, of=0, spans=5)),
    "ledger": ("Ledger", lambda layer, x: explain.ledger(layer, x, place="l0.c[0]@4")),
    "limits": ("Limits", lambda layer, x: explain.limits(nn.Sequential(layer), x, of=OF)),
    "response": (
        "Response",
        lambda layer, x: explain.response(nn.Sequential(layer), x, of=0, feature=0, values=[0.0, 1.0]),
    ),
    "sweep": ("Sweep", lambda layer, x: explain.sweep(layer, x, negative(x), of=OF)),
}
SYMBOLS = {"a": ONE, "b": OTHER}
ROWS, ROW_LABELS = [torch.randn(5, 64) for _ in range(4)], [list("ababa")] * 4
MODULE_DOORS: dict[str, Callable[[Any], Any]] = {
    "forward": lambda module: module(X if isinstance(module, nn.RNNBase | Recurrent) else X[0]),
    "to_torch": lambda module: module.to_torch(),
    "reset_parameters": lambda module: module.reset_parameters(),
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "load_state_dict": lambda module: module.load_state_dict(type(module)(64, 64).state_dict()),
    "from_state_dict": lambda module: hs.from_state_dict(module.state_dict()),
    "studio": hs.studio,
    "equinox_weights": hs.equinox_weights,
    "flax_weights": hs.flax_weights,
    "keras_weights": hs.keras_weights,
    "onnx_weights": hs.onnx_weights,
}
LSTM_DOORS: dict[str, Callable[[Any], Any]] = {
    "trace": lambda module: module.trace(X),
    "stream": lambda module: module.stream(1).step(X[0]),
    "weight": lambda module: module.weight("l0.W_ii"),
    "constant_weights": held,
    "hs.trace": lambda module: hs.trace(nn.Sequential(module), X),
    "deepcopy, of a model": lambda module: copy.deepcopy(nn.Sequential(module)),
    "subject": lambda module: explain.subject(module, X),
    **{name: partial(lambda call, module: call(module, X), call) for name, (_, call) in TOOLS.items()},
    "Dynamics.timescales": lambda module: explain.dynamics(module, X).timescales(),
    "Dynamics.saturation": lambda module: explain.dynamics(module, X).saturation(),
    "Dynamics.fixed_points": lambda module: explain.dynamics(module).fixed_points(),
    "Dynamics.spectrum": lambda module: explain.dynamics(module, X).spectrum(),
    "automaton": lambda module: explain.automaton(module, SYMBOLS, output=lambda out: [0] * len(out)),
}
# The doors above that take other cells as well.
DOORS_OF_ALL_CELLS = (
    "forward",
    "to_torch",
    "reset_parameters",
    "deepcopy",
    "pickle",
    "load_state_dict",
    "trace",
    "stream",
    "hs.trace",
    "deepcopy, of a model",
)
OTHER_DOORS: dict[str, Callable[[], Any]] = {
    **{
        f"{name}, the input": partial(lambda call: call(whole(), freed(5, 1, 64)), call)
        for name, (_, call) in TOOLS.items()
    },
    "quantize": lambda: lstm().quantize(),
    "ledger, of a GRU": lambda: explain.ledger(gru(), X, place="l0.h[0]@4"),
    "dequantize": lambda: int8().dequantize(),
    "from_torch": lambda: hs.from_torch(freed_weight(nn.LSTM(64, 64))),
    "from_torch, a cell": lambda: hs.from_torch(freed_weight(nn.LSTMCell(64, 64))),
    "from_keras": lambda: hs.from_keras([freed(64, 256), torch.zeros(64, 256), torch.zeros(256)]),
    "load_state_dict, what is loaded": lambda: whole().load_state_dict(lstm().state_dict()),
    "convert, to int8": lambda: hs.convert(nn.Sequential(lstm()), weights="int8", strict=True),
    "accelerate": lambda: accelerated(freed_weight(nn.LSTM(64, 64)), X),
    "accelerate, a cell": lambda: accelerated(freed_weight(nn.LSTMCell(64, 64)), X[0]),
    "accelerate, the input": lambda: accelerated(nn.LSTM(64, 64), freed(5, 1, 64)),
    "accelerate, the state": lambda: accelerated(nn.LSTM(64, 64), X, (freed(1, 1, 64), freed(1, 1, 64))),
    "index": lambda: hs.index(lstm(), [X[:, 0]], "never.index"),
    "index, the arrays": lambda: hs.index(whole(), [freed(5, 64)], "never.index"),
    "index, the head": lambda: hs.index(whole(), [X[:, 0]], "never.index", head=freed_weight(nn.Linear(64, 3))),
    "index, a series": lambda: hs.index(hs.series_model(hs.LSTM(1, 1), ["a"], ["b"]), freed(5000, 1), "never.index"),
    "probe": lambda: explain.probe(lstm(), ROWS, ROW_LABELS),
    "probe, of numbers": lambda: explain.probe(lstm(), ROWS, torch.randn(4, 5)),
    "probe, numbers of an input": lambda: explain.probe(whole(), [freed(5, 64)] * 4, torch.randn(4, 5)),
    "probe, the numbers": lambda: explain.probe(whole(), ROWS, freed(4, 5)),
    "probe, the input": lambda: explain.probe(whole(), [freed(5, 64)] * 4, ROW_LABELS),
    "attribute, the baseline": lambda: explain.attribute(whole(), X, of=OF, baseline=freed(64)),
    "attribute, features": lambda: explain.attribute(nn.Sequential(whole()), freed(5, 1, 64), of=0, features=True),
    "response, values from the data": lambda: explain.response(
        nn.Sequential(whole()), freed(5, 1, 64), of=0, feature=0
    ),
    "response, the values": lambda: explain.response(whole(), X, of=0, feature=0, values=freed(64)),
    "check": lambda: hs.check(nn.Sequential(whole()), freed(5, 1, 64)),
    "attribute, a baseline of features": lambda: explain.attribute(
        whole(), X, of=OF, features=True, baseline=freed(64)
    ),
    "attribute, the head": lambda: explain.attribute(
        whole(), X, of=explain.logit(0), head=freed_weight(nn.Linear(64, 3))
    ),
    "automaton, the alphabet": lambda: explain.automaton(
        whole(), {"a": freed(64), "b": OTHER}, output=lambda out: [0] * len(out)
    ),
    "selfcheck, the plant": lambda: explain.selfcheck("gradient", plants={"latch": small_plant()}),
    "selfcheck, the scores": lambda: explain.selfcheck(lambda _, x, of: freed(len(x))),
    "convert_back, of int8": lambda: hs.convert_back(nn.Sequential(int8())),
    "export_c": lambda: hs.export_c(nn.Sequential(lstm()), "never.c", args=(torch.zeros(5, 1, 64),)),
    "export_c, the example": lambda: hs.export_c(nn.Sequential(whole()), "never.c", args=(freed(5, 1, 64),)),
    "export_onnx": lambda: hs.export_onnx(lstm(), "never.onnx"),
    "save": lambda: hs.save(lstm(), "never.safetensors"),
    "save, a graph": lambda: hs.save(nn.Sequential(lstm()), "never.safetensors", args=(torch.zeros(5, 1, 64),)),
    "Machine.decode": lambda: plant.flip_flop().machine.decode(freed(5, 1, 400)),
    "Subject.only": lambda: explain.subject(whole(), freed(5, 1, 64)).only(),
    "Subject.run": lambda: freed_subject().run(),
    "Subject.trace": lambda: freed_subject().trace(),
    "stream": lambda: hs.stream(nn.Sequential(whole()), freed(5, 1, 64)),
    "stream, the module": lambda: hs.stream(nn.Sequential(lstm()), X),
    "stream, another argument": lambda: hs.stream(whole(), X, (freed(1, 1, 64), freed(1, 1, 64))),
    "ModelStream.step": lambda: streamed().step(freed(1, 64)),
    "ModelStream.feed": lambda: streamed().feed(freed(5, 1, 64)),
    "Stream.step": lambda: whole().stream().step(freed(64)),
    "Stream.feed": lambda: whole().stream().feed(freed(5, 1, 64)),
    "Stream.reset": lambda: whole().stream(2).reset(freed(2, dtype=torch.bool)),
    "LSTM.path": lambda: whole().path(freed(5, 1, 64)),
    "LSTMCell.path": lambda: hs.LSTMCell(64, 64).path(freed(1, 64)),
    "Stream.path": lambda: whole().stream().path(freed(64)),
    "LSTM.edit": lambda: edited(hs.set("l0.f", to=freed(64))),
    "LSTMCell.edit": lambda: edited_cell(hs.set("c", to=freed(64))),
    "tagger": lambda: hs.tagger(nn.Sequential(*freed_layers()), "abcde", "ABCDE"),
    "language_model": lambda: hs.language_model(freed_layers(), "abcde"),
    "series_model": lambda: hs.series_model(lstm(), [str(k) for k in range(64)], [str(k) for k in range(64)]),
    "series_model, a series": lambda: hs.series_model(hs.LSTM(1, 1), ["a"], ["b"]).prepare(freed(5000, 1)),
    "series_model, x": lambda: hs.series_model(hs.LSTM(1, 1), ["a"], ["b"]).forecast(freed(5000, 1, 1)),
    "what_if": lambda: hs.what_if(hs.series_model(hs.LSTM(1, 1), ["a"], ["b"]), freed(5000, 1), hs.zero("l0.f")),
    "zero, unit": lambda: hs.zero("l0.f", unit=freed(3, dtype=torch.int64)),
    "studio, the input": lambda: hs.studio(whole(), x=freed(5, 1, 64)),
}
TRACE_DOORS: dict[str, Callable[[hs.Trace], Any]] = {
    "[]": lambda trace: trace["l0.c"],
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "studio": hs.studio,
    "patch": lambda trace: hs.patch("l0.c", source=trace),
    "mean_ablation": lambda trace: hs.mean_ablation("l0.c", source=trace),
    "resample_ablation": lambda trace: hs.resample_ablation("l0.c", source=trace, seed=0),
}
RESULTS: dict[str, Callable[[], Any]] = {
    **{kind: partial(lambda call: call(whole(), X), call) for kind, call in TOOLS.values() if kind},
    "FeatureAttribution": lambda: explain.attribute(whole(), X, of=OF, features=True, spans=5, method="occlusion"),
    "Timescales": lambda: explain.dynamics(whole(), X).timescales(),
    "Saturation": lambda: explain.dynamics(whole(), X).saturation(),
    "FixedPoints": lambda: explain.dynamics(hs.LSTM(4, 3)).fixed_points(starts=4),
    "Spectrum": lambda: explain.dynamics(whole(), X).spectrum(),
    "ReadoutLedger": lambda: explain.ledger(whole(), X, place=explain.logit(0), head=nn.Linear(64, 3)),
    "Probe": lambda: explain.probe(whole(), ROWS, ROW_LABELS),
    "NumberProbe": lambda: explain.probe(whole(), ROWS, torch.randn(4, 5)),
}
# The arguments of methods of traces and results, by method, or by class and method if those of one name differ.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "at": (0, 0),
    "player": (0, 0),
    "between": (0, 1),
    "erased_at": (0,),
    "edits": (0,),
    "erase": (ROWS,),
    "kind_of": (0,),
    "check": ("l0.c",),
    "pick": ("l0.c",),
    "predict": (torch.zeros(64),),
    "recorded": ("l0.c",),
    "save": ("never",),
    "state": (0,),
    "steer": (1.0,),
    "Comparison.edit": ("l0.c",),
    "FeatureAttribution.between": ((0, 0), (0, 0)),
    "Ledger.edit": (0,),
    "Sweep.edit": ("l0.c", 0, 0),
}
READ_NOTHING = {"Trace.load", "Trace.row_length", "Trace.words"}
# Classes whose methods are inherited from another class, under whose name they are doors.
SAME_DOORS = {"ModelStream": hs.Stream, "GRU": hs.LSTM, "RNN": hs.LSTM, "GRUCell": hs.LSTMCell, "RNNCell": hs.LSTMCell}


def public_doors() -> set[str]:
    """Our public functions, and the public methods of our public classes."""
    doors: set[str] = set()
    for room in (hs, explain, plant):
        for name in vars(room)["__all__"]:
            value = getattr(room, name)
            if not inspect.isclass(value):
                doors |= {name} if callable(value) else set()
                continue
            for method in dir(value):
                owner = next((kind for kind in value.__mro__ if method in vars(kind)), object)
                ours = owner.__module__.startswith("hiddenstate") and callable(getattr(value, method))
                ours = ours and getattr(SAME_DOORS.get(name), method, None) is not getattr(value, method)
                doors |= {f"{name}.{method}"} if ours and not method.startswith("_") else set()
    return doors


METHODS = sorted(
    door for door in public_doors() - READ_NOTHING if door.split(".")[0] in ("Trace", *RESULTS) and "." in door
)


@cache
def freed_result(kind: str) -> Any:
    return result(RESULTS[kind]())


def called(door: str) -> Any:
    """Call a method of a trace or a result whose tensors have no memory."""
    kind, method = door.split(".")
    value = freed_trace() if kind == "Trace" else freed_result(kind)
    return getattr(value, method)(*ARGUMENTS.get(door, ARGUMENTS.get(method, ())))


def crossed(doors: Mapping[str, Callable[[Any], Any]], **makers: Callable[[], Any]) -> dict[str, Callable[[], Any]]:
    """Each of these doors, given what each maker makes."""
    return {
        f"{name}, {what}": partial(lambda door, make: door(make()), door, make)
        for name, door in doors.items()
        for what, make in makers.items()
    }


OF_ALL_CELLS = {name: (MODULE_DOORS | LSTM_DOORS)[name] for name in DOORS_OF_ALL_CELLS}
OF_ALL_STEPS = {name: door for name, door in OF_ALL_CELLS.items() if name in MODULE_DOORS}
TEXTS: dict[str, Callable[[Any], Any]] = {"str": str, "repr": repr}
FREED_DOORS: dict[str, Callable[[], Any]] = {
    **crossed(MODULE_DOORS | LSTM_DOORS, lstm=lstm, int8=int8),
    **crossed(OF_ALL_CELLS, gru=gru, rnn=rnn),
    **crossed(MODULE_DOORS, cell=cell),
    **crossed(OF_ALL_STEPS, gru_cell=gru_cell, rnn_cell=rnn_cell),
    **OTHER_DOORS,
    **crossed(TRACE_DOORS, trace=freed_trace),
    **{door: partial(called, door) for door in METHODS},
    **crossed(TEXTS, **{kind: partial(freed_result, kind) for kind in RESULTS}),
    "by_step": lambda: freed_result("ReadoutLedger").by_step,
}
FREED = "memory was freed"


@pytest.mark.parametrize("door", FREED_DOORS)
def test_freed_memory_is_refused(door: str) -> None:
    with pytest.raises(HiddenStateError, match=FREED):
        FREED_DOORS[door]()


@pytest.mark.parametrize("name", ["tagger-en", "shakespeare"])
def test_a_model_whose_memory_was_freed_is_refused(name: str, tmp_path: Path) -> None:
    loaded: Any = hs.load(name)
    model = freed_weight(loaded)
    for door in (copy.deepcopy, pickle.dumps, hs.studio, lambda one: folder.save(one, tmp_path / "model")):
        with pytest.raises(HiddenStateError, match=FREED):
            door(model)


def test_an_edit_says_that_its_value_was_freed() -> None:
    assert "memory was freed" in repr(hs.set("l0.f", to=freed(64)))
    assert "memory was freed" in repr(hs.scale("l0.f", by=freed()))


def small() -> hs.LSTM:
    return hs.LSTM(4, 3).eval()


HUGE = torch.zeros(1, 4).expand(10**9, 4)  # 16 bytes of memory
LONG = torch.zeros(1, 1, 4).expand(20_000, 1, 4)
FIVE = torch.zeros(5, 1, 4)
HUGE_DOORS: dict[str, Callable[[Tensor], Any]] = {
    **{name: partial(lambda call, x: call(small(), x), call) for name, (_, call) in TOOLS.items()},
    "attribute, features": lambda x: explain.attribute(nn.Sequential(small()), x, of=0, features=True),
    "check": lambda x: hs.check(nn.Sequential(small()), x),
    "response, values from the data": lambda x: explain.response(nn.Sequential(small()), x, of=0, feature=0),
    "importance, of single steps": lambda x: explain.importance(nn.Sequential(small()), x, of=0),
    "stream": lambda x: hs.stream(nn.Sequential(small()), x),
    "graph, of a module": lambda x: explain.graph(nn.Sequential(small()), x, of=OF),
    "dynamics": lambda x: explain.dynamics(small(), x),
    "index": lambda x: hs.index(small(), [x[0] if x.dim() == 3 else x], "never.index"),
    "probe, of numbers": lambda x: explain.probe(small(), x[0] if x.dim() == 3 else x, x[..., 0]),
    "probe": lambda x: explain.probe(small(), [x[0] if x.dim() == 3 else x] * 4, ROW_LABELS),
    "subject": lambda x: explain.subject(small(), x),
    "trace": lambda x: small().trace(x),
    "hs.trace": lambda x: hs.trace(nn.Sequential(small()), x),
    "studio": lambda x: hs.studio(small(), x=x),
}


def said(out: Tensor) -> list[int]:
    return [0] * len(out)


def automaton(**options: Any) -> None:
    explain.automaton(small(), {"a": torch.zeros(4), "b": torch.ones(4)}, output=said, **options)


ENDLESS = torch.zeros(1, 1, 4).expand(10**15, 1, 4)  # its output has more bytes than a processor can address


def held_call(lstm: hs.LSTM) -> None:
    with hs.constant_weights(lstm), torch.no_grad():
        lstm(ENDLESS)


def by_reference(lstm: hs.LSTM) -> None:
    with hs.backend("reference"):
        lstm(ENDLESS)


ENDLESS_DOORS: dict[str, Callable[[], Any]] = {
    "LSTM.forward": lambda: small()(ENDLESS),
    "LSTM.forward, rows": lambda: small()(ENDLESS.transpose(0, 1)),
    "LSTM.forward, lengths": lambda: small()(ENDLESS, lengths=10**15),
    "LSTM.forward, int8": lambda: hs.LSTM(4, 64, weights="int8").eval()(ENDLESS),
    "LSTM.forward, constant weights": lambda: held_call(small()),
    "LSTMCell.forward": lambda: hs.LSTMCell(4, 3)(ENDLESS[:, 0]),
    "LSTMCell.edit": lambda: edited_cell(hs.zero("f"), ENDLESS[:, 0]),
    "Stream.feed": lambda: small().stream().feed(ENDLESS),
    "Stream.step": lambda: small().stream(10**15).step(ENDLESS[:, 0]),
    "ModelStream.feed": lambda: hs.stream(nn.Sequential(small()), FIVE).feed(ENDLESS),
    "ModelStream.step": lambda: hs.stream(nn.Sequential(small()), FIVE, batch=10**15).step(ENDLESS[:, 0]),
    "backend": lambda: by_reference(small()),
}


ABSURD_DOORS: dict[str, tuple[Callable[[], Any], str]] = {
    "attribute, shapley, T": (lambda: explain.attribute(small(), LONG, of=OF), "T = 20,000"),
    "attribute, steps without end": (
        lambda: explain.attribute(small(), LONG[:1].expand(2**24, *LONG.shape[1:]), of=OF, method="occlusion"),
        "T = 16,777,216",
    ),
    "attribute, shapley, samples": (lambda: explain.attribute(small(), LONG[:50], of=OF, samples=10**12), "samples="),
    "attribute, occlusion": (
        lambda: explain.attribute(small(), LONG.repeat(2, 1, 1), of=OF, method="occlusion"),
        "T = 40,000",
    ),
    "attribute, occlusion of pairs": (
        lambda: explain.attribute(small(), LONG, of=OF, method="occlusion", spans=[(k, k + 1) for k in range(2000)]),
        "spans=",
    ),
    "attribute, cd": (
        lambda: explain.attribute(small(), LONG.repeat(2, 1, 1), of=OF, method="cd", occlusion=False),
        "T = 40,000",
    ),
    "attribute, integrated gradients": (
        lambda: explain.attribute(small(), FIVE, of=OF, method="integrated_gradients", points=10**9),
        "points must be at most 4,096",
    ),
    "graph": (lambda: explain.graph(small(), FIVE, of=OF, units=10**12), "a graph can keep"),
    "sweep": (lambda: explain.sweep(small(), *[LONG.repeat(2, 1, 1)] * 2, of=OF, units=[0]), "places="),
    "selfcheck, inputs": (lambda: explain.selfcheck("gradient", inputs=10**9), "inputs=1,000,000,000"),
    "selfcheck, calls": (lambda: explain.selfcheck("gradient", inputs=10**6), "inputs must be at most"),
    "selfcheck, T": (lambda: explain.selfcheck("gradient", T=10**9), "T=1,000,000,000"),
    "Dynamics.fixed_points, starts": (lambda: explain.dynamics(small()).fixed_points(starts=10**9), "starts="),
    "Dynamics.fixed_points, descent": (lambda: explain.dynamics(small()).fixed_points(descent=10**9), "descent="),
    "automaton, tests": (lambda: automaton(tests=10**9), "tests="),
    "automaton, length": (lambda: automaton(length=10**12), "length="),
    "Plant.inputs": (lambda: plant.integrator().inputs(0, T=10**12), "ask for fewer"),
    "LSTM.stream": (lambda: small().stream(10**15), "batch="),
    "stream": (lambda: hs.stream(nn.Sequential(small()), FIVE, batch=10**15), "batch="),
}


def peak_memory() -> int:
    """The peak of this process, in bytes."""
    if sys.platform == "linux":
        return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("door", HUGE_DOORS)
@pytest.mark.parametrize("x", [HUGE, HUGE[None].expand(5, 10**9, 4)])
def test_an_input_that_is_huge_by_stride_is_refused_before_anything_is_computed(door: str, x: Tensor) -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is in use now, not at an earlier test's
    before = peak_memory()
    with pytest.raises(HiddenStateError, match=r"1,000,000,000|bytes|numbers"):
        HUGE_DOORS[door](x)
    assert peak_memory() - before < 2**30


@pytest.mark.parametrize("door", ENDLESS_DOORS)
def test_a_call_whose_output_no_memory_holds_fails_before_anything_is_computed(door: str) -> None:
    """With torch's message or ours: memory for the output is allocated first."""
    began = time.process_time()
    with pytest.raises((HiddenStateError, RuntimeError, MemoryError), match=r"memory|bytes|too (large|big)|overflow"):
        ENDLESS_DOORS[door]()
    assert time.process_time() - began < 5


@pytest.mark.parametrize("door", ABSURD_DOORS)
def test_an_absurd_number_is_refused_with_what_to_reduce(door: str) -> None:
    call, words = ABSURD_DOORS[door]
    with pytest.raises(HiddenStateError, match=re.escape(words)):
        call()


def test_sparse_scores_of_a_method_are_refused() -> None:
    with pytest.raises(DtypeError, match="the method returned has the layout torch.sparse_coo"):
        explain.selfcheck(lambda _, x, of: x.sum((1, 2)).to_sparse())


def doors_with_tests() -> set[str]:
    """The doors in the tables above: the part of each key before a comma."""
    prefixes: list[tuple[Iterable[str], tuple[str, ...]]] = [
        (MODULE_DOORS, ("", "LSTM.", "LSTMCell.")),
        ([*LSTM_DOORS, *OTHER_DOORS, *HUGE_DOORS, *ABSURD_DOORS], ("", "LSTM.")),
        ([*TRACE_DOORS, *METHODS], ("",)),
    ]
    return {
        prefix + key.split(",")[0].removeprefix("hs.") for keys, starts in prefixes for key in keys for prefix in starts
    }
