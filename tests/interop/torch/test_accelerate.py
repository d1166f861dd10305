"""torch's own LSTMs on the engine: same numbers, same errors, nothing left behind."""

import copy
import pickle
import py_compile
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import hiddenstate as hs
import programs
from hiddenstate.engine import kernels
from hiddenstate.run import main
from support import TORCH, draws

VF: Any = torch._VF
SIZES = st.sampled_from((1, 3, 17))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    assert not {"lstm", "lstm_cell"} & set(vars(VF))
    yield
    assert not {"lstm", "lstm_cell"} & set(vars(VF))


def flat(result: Any) -> list[Tensor]:
    out, state = result
    return [out.data if isinstance(out, PackedSequence) else out, *state]


def assert_same(run: Callable[[], Any], leaves: list[Tensor], served: bool = True, tolerance: float = 1e-5) -> None:
    """A call gives the same outputs and gradients with and without the engine, and the report is right."""
    found = []
    for block in (None, hs.accelerate):
        torch.manual_seed(3)
        acceleration = block() if block else None
        results = flat(run())
        torch.manual_seed(4)
        loss = torch.stack([(value.double() * torch.randn_like(value).double()).sum() for value in results]).sum()
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        found.append([*results, *(torch.zeros(()) if grad is None else grad for grad in grads)])
        if acceleration:
            acceleration.undo()
            report = acceleration.report()
            assert (report.share == 1) if served else (report.share == 0)
    for theirs, ours in zip(*found, strict=True):
        assert theirs.shape == ours.shape
        assert theirs.dtype is ours.dtype
        assert torch.allclose(theirs, ours, atol=tolerance, rtol=tolerance)


@given(
    T=SIZES, N=SIZES, C=SIZES, H=SIZES, layers=st.integers(1, 3), bias=st.booleans(), both=st.booleans(),
    batch_first=st.booleans(), projects=st.booleans(), batched=st.booleans(), state=st.booleans(), double=st.booleans(),
)  # fmt: skip
@settings(max_examples=draws(40), deadline=None)
def test_outputs_and_gradients_are_torchs(
    T: int, N: int, C: int, H: int, layers: int, bias: bool, both: bool, batch_first: bool, projects: bool,
    batched: bool, state: bool, double: bool,
) -> None:  # fmt: skip
    P = H - 1 if projects else 0
    dtype = torch.float64 if double else torch.float32
    lstm = nn.LSTM(C, H, layers, bias, batch_first, 0.0, both, P, dtype=dtype)
    shape = ((N, T, C) if batch_first else (T, N, C)) if batched else (T, C)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    rows = (N,) if batched else ()
    tracks = layers * (1 + both)
    hx = (
        torch.randn(tracks, *rows, P or H, dtype=dtype, requires_grad=True),
        torch.randn(tracks, *rows, H, dtype=dtype, requires_grad=True),
    )
    leaves = [x, *(hx if state else ()), *lstm.parameters()]
    assert_same(lambda: lstm(x, hx if state else None), leaves, tolerance=1e-9 if double else 2e-5)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_packed_sequences(in_order: bool, both: bool) -> None:
    lengths = [5, 3, 1] if in_order else [2, 5, 1]
    lstm, rows = nn.LSTM(4, 3, 2, bidirectional=both), [torch.randn(n, 4, requires_grad=True) for n in lengths]
    hx = torch.randn(4 if both else 2, 3, 3), torch.randn(4 if both else 2, 3, 3)
    for state in (None, hx):
        leaves = [*rows, *lstm.parameters()]
        assert_same(lambda state=state: lstm(pack_sequence(rows, enforce_sorted=in_order), state), leaves)  # type: ignore[misc]


def test_dropout_between_layers_is_drawn_as_torch_draws_it() -> None:
    lstm, x = nn.LSTM(4, 9, 3, dropout=0.4), torch.randn(7, 2, 4, requires_grad=True)
    assert_same(lambda: lstm(x), [x, *lstm.parameters()])


def test_weights_that_are_computed() -> None:
    lstm, x = nn.LSTM(4, 3), torch.randn(5, 2, 4)
    nn.utils.parametrizations.weight_norm(lstm, "weight_hh_l0")
    assert_same(lambda: lstm(x), list(lstm.parameters()))
    leaf = torch.randn(12, 3, requires_grad=True)
    other = nn.LSTM(4, 3)
    assert_same(lambda: torch.func.functional_call(other, {"weight_hh_l0": leaf}, (x,)), [leaf])


@pytest.mark.parametrize("proj_size", [0, 2])
def test_gradients_of_each_row_by_expanded_weights_are_torchs(proj_size: int) -> None:
    lstm, x, found = nn.LSTM(4, 3, proj_size=proj_size), torch.randn(5, 2, 4).requires_grad_(), []
    for block in (nullcontext, hs.accelerate):
        with block() as acceleration:
            run = call_for_per_sample_grads(lstm, batch_size=2, loss_reduction="sum", batch_first=False)
            run(x)[0].sum().backward()
        found.append([vars(parameter).pop("grad_sample") for parameter in lstm.parameters()])
    assert all(torch.allclose(a, b) for a, b in zip(*found, strict=True))
    assert acceleration is not None
    (why,) = acceleration.report().left
    assert why.startswith("a weight is of the class ExpandedWeight")


def test_second_derivatives() -> None:
    lstm, x = nn.LSTM(2, 3).double(), torch.randn(4, 1, 2, dtype=torch.float64, requires_grad=True)
    with hs.accelerate(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert torch.autograd.gradgradcheck(lambda x: lstm(x)[0], (x,))


def test_autocast() -> None:
    lstm, x = nn.LSTM(4, 8), torch.randn(5, 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        want = lstm(x)
        with hs.accelerate() as acceleration:
            got = lstm(x)
    assert [v.dtype for v in flat(want)] == [v.dtype for v in flat(got)]
    assert torch.allclose(want[0].float(), got[0].float(), atol=2e-2)
    assert acceleration.report().served == {"native bfloat16": 1}


def test_what_the_engine_does_not_serve_is_torchs_with_its_reason() -> None:
    meta = nn.LSTM(4, 3, device="meta")
    with hs.accelerate() as acceleration:
        assert meta(torch.empty(5, 2, 4, device="meta"))[0].shape == (5, 2, 3)
    assert list(acceleration.report().left) == ["the input is on meta"]
    assert "left to torch" in str(acceleration.report())


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (lambda lstm: lstm, (5, 2, 9)),
        (lambda lstm: lstm, (5,)),
        (lambda lstm: lstm.double(), (5, 2, 4)),
        (lambda lstm: setattr(lstm, "bias_ih_l0", nn.Parameter(torch.zeros(3))), (5, 2, 4)),
    ],
)
def test_errors_are_torchs(change: Callable[[nn.LSTM], Any], shape: tuple[int, ...]) -> None:
    lstm, said = nn.LSTM(4, 3), []
    change(lstm)
    for accelerated in (False, True):
        acceleration = hs.accelerate() if accelerated else None
        try:
            with pytest.raises((RuntimeError, ValueError)) as error:
                lstm(torch.zeros(shape))
        finally:
            if acceleration:
                acceleration.undo()
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


def _with(k: int, value: Any) -> tuple[Any, ...]:
    """The arguments of torch's function, with a different one in place ``k``."""
    lstm, state = nn.LSTM(4, 3), torch.zeros(1, 2, 3)
    given = [torch.zeros(5, 2, 4), (state, state), lstm._flat_weights, True, 1, 0.0, False, False, False]
    return (*given[:k], value, *given[k + 1 :])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        _with(0, 0)[:3],
        _with(0, None),
        _with(1, None),
        _with(1, (None, None)),
        _with(2, None),
        _with(2, [None] * 4),
        _with(2, []),
        _with(4, 2**40),  # naming so many layers would take forever
        _with(4, -1),
        _with(4, "1"),
        _with(5, "0"),
        _with(6, torch.zeros(2)),
        _with(1, torch.tensor([2, -1])),
    ],
)
def test_what_is_no_call_is_refused_by_torch(arguments: tuple[Any, ...]) -> None:
    errors = []
    for accelerated in (False, True):
        acceleration = hs.accelerate() if accelerated else None
        try:
            with pytest.raises((RuntimeError, TypeError, ValueError, IndexError)) as error:
                torch._VF.lstm(*arguments)
        finally:
            if acceleration:
                acceleration.undo()
        errors.append((type(error.value), str(error.value)))
    assert errors[0] == errors[1]


def test_classes_pickles_and_subclasses_stay_torchs() -> None:
    class Own(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
            base: Any = super()  # older versions of torch have no type for forward
            return base.forward(input * 2, hx)

    own, x = Own(4, 3), torch.randn(5, 2, 4)
    want = own(x)
    with hs.accelerate() as acceleration:
        assert isinstance(own, nn.LSTM)
        assert torch.allclose(own(x)[0], want[0], atol=1e-6)
        again = pickle.loads(pickle.dumps(nn.LSTM(4, 3)))
        assert type(copy.deepcopy(again)) is nn.LSTM
        assert torch.allclose(again(x)[0], copy.deepcopy(again)(x)[0])
    assert acceleration.report().share == 1


def test_a_subclass_of_torchs_lstm_can_not_be_compiled_whole() -> None:
    """This is why `hiddenstate.LSTM` is not a subclass; see docs/accelerate.md."""

    class Doubles(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:  # noqa: A002
            return input * 2, hx

    model = nn.Sequential(Doubles(4, 3))
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(model, backend="eager", fullgraph=True)(torch.zeros(2, 1, 4))


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3)
        self.cell = nn.LSTMCell(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lstm(x)[0] + self.cell(x[0])[0]
        return out


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)  # Dynamo's warning at a graph break
def test_scripting_and_compiling_inside_a_block() -> None:
    model, x = Scripted(), torch.randn(5, 2, 4)
    want = model(x)
    with hs.accelerate():
        scripted = torch.jit.script(model)
        compiled = torch.compile(model, backend="eager")
        results = [scripted(x), compiled(x)]
    for got in [*results, scripted(x), compiled(x)]:
        assert torch.allclose(got, want, atol=1e-6)


@pytest.mark.skipif(TORCH < (2, 9), reason="torch 2.8 puts its LSTM into the graph")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_is_served_with_gradients_and_edits(backend: str) -> None:
    model, x = nn.Sequential(nn.LSTM(4, 3)), torch.randn(5, 2, 4)
    want = model(x)[0]
    with hs.accelerate() as acceleration:
        torch._dynamo.reset()
        compiled = torch.compile(model, backend=backend)
        out = compiled(x)[0]
        out.sum().backward()
        assert acceleration.report().share == 1
        for _ in range(2):  # a module compiled before the block, and one compiled in it
            with hs.edit(model, hs.zero("0.l0.h")):
                assert not compiled(x)[0].any()
            torch._dynamo.reset()
    assert torch.allclose(out, want, atol=1e-6)
    assert model[0].weight_ih_l0.grad is not None


def test_edits_and_traces_hold_on_any_device() -> None:
    """A meta tensor stands for one on a GPU: the engine runs neither."""
    lstm, x = nn.LSTM(4, 3, device="meta"), torch.zeros(5, 2, 4, device="meta")
    with hs.accelerate() as acceleration:
        lstm(x)
        assert acceleration.report().share == 0
        with hs.edit(lstm, hs.zero("l0.h")):
            assert lstm(x)[0].is_meta
        assert sum(acceleration.report().reference.values()) == 1
        with hs.edit(lstm, hs.zero("l0.h")), ThreadPoolExecutor(1) as pool:
            pool.submit(lstm, x).result()  # another thread's call has no edit
        assert sum(acceleration.report().reference.values()) == 1
        assert not acceleration.report().served


@pytest.mark.filterwarnings(
    "ignore:The tensor attributes self._flat_weights:UserWarning"
)  # torch's warning about its own LSTM
def test_exports_are_torchs() -> None:
    lstm, x = nn.LSTM(4, 3), torch.randn(5, 2, 4)
    try:
        torch.export.export(lstm, (x,))
    except ValueError:
        pytest.skip("this torch does not export its own LSTM")
    with hs.accelerate() as acceleration:
        program = torch.export.export(lstm, (x,))
    assert torch.allclose(program.module()(x)[0], lstm(x)[0], atol=1e-6)
    assert not any("hiddenstate" in str(node.target) for node in program.graph.nodes)
    assert acceleration.report().share == 0


def test_blocks_nest_and_end_in_any_order() -> None:
    first, second = hs.accelerate(), hs.accelerate()
    first.undo()
    first.undo()  # a second call does nothing
    assert "lstm" in vars(VF)
    with hs.accelerate():
        second.undo()
        assert "lstm" in vars(VF)
    assert "lstm" not in vars(VF)


def test_an_exception_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError), hs.accelerate():
        _ = 1 / 0
    assert "lstm" not in vars(VF)


def test_what_another_put_there_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    own = VF.lstm

    def other(*arguments: Any) -> Any:
        calls.append(1)
        return own(*arguments)

    monkeypatch.setattr(VF, "lstm", other, raising=False)
    half = nn.LSTM(4, 3).half()
    with hs.accelerate():
        half(torch.zeros(2, 1, 4).half())  # the engine has no kernel for it
    assert VF.lstm is other
    assert len(calls) == 1
    monkeypatch.undo()
    vars(VF).pop("lstm", None)


def test_threads_agree() -> None:
    lstm, x = nn.LSTM(4, 3, 2), torch.randn(5, 2, 4)
    want, start = lstm(x)[0], threading.Barrier(4)

    def work(_: int) -> bool:
        start.wait()
        found = []
        for _ in range(50):
            with hs.accelerate():
                found.append(torch.allclose(lstm(x)[0], want, atol=1e-6))
        return all(found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert "lstm" not in vars(VF)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(4, 3, 2, bidirectional=True)
        self.cell = nn.LSTMCell(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.encoder(x)
        state = None
        for value in out:
            state = self.cell(value, state)
        assert state is not None
        h: Tensor = state[0]
        return h


def test_traces_by_module_path_are_those_of_a_converted_model() -> None:
    model, x = Model(), torch.randn(5, 2, 4)
    want = hs.trace(hs.convert(model), x)
    with hs.accelerate():
        run = hs.trace(model, x, tokens=[list("abcde")] * 2)
    assert run.theirs == ()
    for path in ("encoder", "cell"):
        assert run[path].names == want[path].names
        for name in want[path].names:
            assert torch.allclose(run[path][name], want[path][name], atol=1e-6), name
    assert run["encoder"].words() == tuple("abcde")
    with pytest.raises(hs.HiddenStateError, match="accelerate"):
        hs.trace(model, x)  # the block is over


def test_traces_of_packed_input_and_training() -> None:
    lstm = nn.LSTM(4, 3)
    with hs.accelerate():
        run = hs.trace(nn.Sequential(lstm), pack_sequence([torch.randn(3, 4), torch.randn(1, 4)]))
        run["0"]["l0.c"].sum().backward()
    assert run["0"].row_length(1) == 1
    assert lstm.weight_ih_l0.grad is not None


def test_edits_by_module_path() -> None:
    model, x = Model(), torch.randn(5, 2, 4)
    ours = hs.convert(model)
    edits = hs.zero("encoder.l0.f", unit=1), hs.set("encoder.l1r.h", to=0.5, t=2)
    with hs.edit(ours, *edits):
        want = ours(x)
    with hs.accelerate(), hs.edit(model, *edits):
        got = model(x)
    assert torch.allclose(got, want, atol=1e-6)
    assert not torch.allclose(got, model(x), atol=1e-3)


def test_edits_that_fit_no_lstm_are_refused() -> None:
    model = Model()
    with pytest.raises(hs.HiddenStateError, match=r"hs\.accelerate"), hs.edit(model, hs.zero("encoder.l0.f")):
        pass
    with hs.accelerate():
        for place in ("l0.f", "decoder.l0.f", "encoder.l7.f", "cell.l1.f"):
            with pytest.raises(hs.HiddenStateError), hs.edit(model, hs.zero(place)):
                pass
        with pytest.raises(TypeError), hs.edit(model, "encoder.l0.f"):  # type: ignore[arg-type]
            pass
        with pytest.raises(TypeError), hs.edit(3, hs.zero("l0.f")):  # type: ignore[arg-type]
            pass
        with hs.edit(model, hs.zero("encoder.l0.f", t=9)), pytest.raises(IndexError):
            model(torch.randn(5, 2, 4))


def test_an_lstm_itself_is_edited_by_plain_places() -> None:
    lstm, x = hs.LSTM(4, 3), torch.randn(5, 2, 4)
    with hs.edit(lstm, hs.zero("l0.o")):
        assert not lstm(x)[0].any()


def test_an_edit_holds_until_its_block_ends() -> None:
    model, x = nn.Sequential(nn.LSTM(4, 3)), torch.randn(5, 2, 4)
    acceleration = hs.accelerate()
    with hs.edit(model, hs.zero("0.l0.h")):
        acceleration.undo()
        assert not model(x)[0].any()
    assert "lstm" not in vars(VF)
    assert model(x)[0].any()


def test_the_reference_can_be_chosen() -> None:
    lstm, x = nn.LSTM(4, 3), torch.randn(5, 2, 4)
    with hs.accelerate() as acceleration, hs.backend("reference"):
        lstm(x)
        nn.LSTMCell(4, 3)(x[0])  # torch's: it is not part of a traced or edited model
    report = acceleration.report()
    assert (report.served, report.share) == ({}, 0)
    assert report.reference == {'hiddenstate.backend("reference") is active': 1}
    assert str(report).splitlines()[:3] == [
        "0 of 2 calls ran on the engine (0.0%)",
        "computed by the reference:",
        '          1  hiddenstate.backend("reference") is active',
    ]


@pytest.mark.skipif(kernels.isa() is None, reason="there is no native module")
def test_the_report_says_what_computed_edited_and_traced_calls() -> None:
    """A call counts as the engine's only if the engine computed every layer."""
    model = nn.ModuleDict({"lstm": nn.LSTM(4, 3, 2), "other": nn.LSTM(4, 3), "cell": nn.LSTMCell(4, 3)})
    half, x = nn.ModuleDict({"lstm": nn.LSTM(4, 3).half()}), torch.randn(5, 2, 4)
    with hs.accelerate() as acceleration, torch.no_grad():
        with hs.edit(model, hs.zero("lstm.l0.h", unit=1)):
            model["lstm"](x)
            model["other"](x)
            with hs.edit(half, hs.zero("lstm.l0.h")):
                pass
            half["lstm"](x[:3].half())  # not edited any more
        hs.trace(model["lstm"], x)
        assert acceleration.report().served == {"native": 3}
        assert acceleration.report().left == {"there is no native kernel for torch.float16": 1}
        with hs.edit(model, hs.clamp("lstm.l1.h", high=0.5)):
            model["lstm"](x)
        hs.trace(model["cell"], x[0])
    report = acceleration.report()
    assert report.served == {"native": 3}
    assert report.reference == {
        "the edit of l1.h is a clamp, which the reference computes": 1,
        "edits are active, or a trace records the call": 1,
    }
    assert report.share == 0.5


def test_random_numbers_are_left_alone() -> None:
    lstm, x = nn.LSTM(4, 3), torch.randn(5, 2, 4)
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    with hs.accelerate():
        hs.trace(nn.Sequential(lstm), x)
    assert torch.equal(torch.rand(3), want)


def test_a_stand_in_goes_with_its_module() -> None:
    from hiddenstate.interop.torch.accelerate import stand_ins

    before = len(stand_ins._layers)
    lstm = nn.LSTM(4, 3)
    with hs.accelerate():
        hs.trace(nn.Sequential(lstm), torch.randn(2, 1, 4))
        assert len(stand_ins._layers) == before + 1
        del lstm
    assert len(stand_ins._layers) == before


def run_script(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "job.py"
    script.write_text(
        "import sys, torch\n"
        "from torch import nn\n"
        "nn.LSTM(4, 3)(torch.zeros(2, 1, 4))\n"
        "print(__name__, sys.argv[1:], 'lstm' in vars(torch._VF))\n"
        "sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)\n"
    )
    command = [sys.executable, "-m", "hiddenstate.run", *arguments]
    return programs.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)


def test_a_script_runs_unchanged(tmp_path: Path) -> None:
    done = run_script(tmp_path, "--report", "job.py", "3", "--x")
    assert done.stdout == "__main__ ['3', '--x'] True\n"
    assert done.returncode == 3
    assert "1 of 1 calls ran on the engine" in done.stderr
    done = run_script(tmp_path, "-m", "job")
    assert (done.returncode, done.stderr) == (0, "")


# Prints what a program can see of how it was started.
ATTRIBUTES = """
import atexit, inspect, os, pickle, sys

class Local:
    pass

main = sys.modules["__main__"]
names = ("__file__", "__name__", "__package__", "__cached__", "__doc__")
def show():
    print(*((name, getattr(main, name)) for name in names), main.__builtins__.__name__, sep="\\n")
    print(type(main.__loader__).__name__, main.__spec__ and main.__spec__.name, vars(main) is globals())
    print(sys.argv, sys.path[:2], len(pickle.dumps(Local())), inspect.currentframe().f_code.co_filename)
os.chdir("..")
show()
atexit.register(lambda: print(sys.modules["__main__"] is main, len(pickle.dumps(Local()))))
"""


@pytest.mark.parametrize(
    "program",
    [
        "./link.py",
        "folder",
        "z.zip",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sub/job.py", "sub/../sub/job.py", "job.pyc")),
    ],
)
def test_a_program_sees_the_same_as_under_python(program: str, tmp_path: Path) -> None:
    for folder in ("sub", "folder"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sub" / "job.py").write_text(ATTRIBUTES)
    (tmp_path / "folder" / "__main__.py").write_text(ATTRIBUTES)
    (tmp_path / "link.py").symlink_to(tmp_path / "sub" / "job.py")
    py_compile.compile(str(tmp_path / "sub" / "job.py"), str(tmp_path / "job.pyc"))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("__main__.py", ATTRIBUTES)
    printed = []
    for run, start in ((subprocess.run, [sys.executable]), (programs.run, [sys.executable, "-m", "hiddenstate.run"])):
        command = [*start, program, "a", "-b"]
        printed.append(run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout)
    assert f"('__file__', '{tmp_path}/" in printed[0]
    assert printed[1] == printed[0]


def test_a_folder_without_a_program_is_refused_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hiddenstate.run", str(tmp_path)]
    refused = programs.run(command, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"there is no __main__.py in {str(tmp_path)!r}\n"


@pytest.mark.parametrize("arguments", [(), ("none.py",), ("-m",), ("--other", "job.py")], ids=" ".join)
def test_a_script_that_is_none_is_refused_in_a_line(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hiddenstate.run", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_workers_of_torchrun_run_on_the_engine(tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = run_script(tmp_path, *torchrun, "-m", "hiddenstate.run", "--report", "job.py", "0", "--x")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("__main__ ['0', '--x'] True") == 2
    assert done.stderr.count("1 of 1 calls ran on the engine") == 2


def test_weights_that_make_no_gru_are_not_said_to_make_no_lstm() -> None:
    gru = nn.GRU(4, 3)
    x, h, weights = torch.zeros(2, 1, 4), torch.zeros(1, 1, 3), list(gru.parameters())
    with hs.accelerate() as acceleration, pytest.raises(RuntimeError):
        VF.gru(x, h, weights[:3], True, 1, 0.0, False, False, False)
    assert acceleration.report().left == {"3 weights do not make a GRU of 1 layers": 1}


KINDS = (nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


class Wrapped(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.layer = kind(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)[0]
        return out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_where_no_call_is_counted_the_report_says_which_layers_are_not_seen() -> None:
    compiled = torch.jit.script(Wrapped(nn.LSTM).eval())
    with hs.accelerate() as acceleration:
        compiled(torch.zeros(2, 4))
    report = str(acceleration.report())
    assert "None of torch's recurrent layers and cells was called in this process" in report
    assert "TorchScript" in report


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_steps_of_cells_run_on_the_engine(dtype: torch.dtype) -> None:
    cell = nn.LSTMCell(5, 7).to(dtype)
    x, h, c = torch.randn(2, 5, dtype=dtype), torch.randn(2, 7, dtype=dtype), torch.randn(2, 7, dtype=dtype)
    with torch.no_grad():
        want = cell(x, (h, c)), cell(x), cell(x[0])
    with hs.accelerate() as acceleration:
        with torch.no_grad():
            got = cell(x, (h, c)), cell(x), cell(x[0])
        # Older versions of torch lack the function table for reading tensors, without which no step is fast.
        fast = kernels.isa() is not None and hasattr(torch.Tensor, "__dlpack_c_exchange_api__")
        assert acceleration.report().served == ({"cell": 3} if fast else {})
        cell(x)[0].sum().backward()
        assert acceleration.report().served == ({"cell": 4} if fast else {})
        assert sum(acceleration.report().left.values()) == (0 if fast else 4)
    for states, others in zip(got, want, strict=True):
        for one, other in zip(states, others, strict=True):
            assert one.shape == other.shape
            assert torch.allclose(one.float(), other.float(), atol=1e-5 if dtype is not torch.bfloat16 else 2e-2)


def test_threads_share_a_layer_and_each_call_has_its_own_options() -> None:
    """One thread traces, batch first; one calls with packed input, under an edit; one keeps making new layers."""
    code = """
import sys, threading
import torch
import hiddenstate as hs
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

sys.setswitchinterval(1e-5)
torch.manual_seed(0)
torch.set_num_threads(1)
torch.set_grad_enabled(False)
lstm, x, edit = nn.LSTM(4, 3, batch_first=True).eval(), torch.randn(2, 5, 4), hs.zero("l0.f")
packed = pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)

def traced():
    run = hs.trace(lstm, x)
    return [run.out[0], run[""]["l0.c"]]

def edited():
    with hs.edit(lstm, edit):
        return [lstm(packed)[0].data]

def new():
    layer = nn.LSTM(2, 2)
    hs.trace(layer, torch.zeros(1, 1, 2))
    return []

def compare(run, want):
    torch.set_grad_enabled(False)
    try:
        while not is_over.is_set():
            assert all(map(torch.equal, run(), want))
            counts[run] += 1
    except BaseException as error:
        errors.append(error)

with hs.accelerate():
    runs = traced, edited, new
    wants, counts, errors, is_over = [run() for run in runs], dict.fromkeys(runs, 0), [], threading.Event()
    threads = [threading.Thread(target=compare, args=pair) for pair in zip(runs, wants)]
    for thread in threads:
        thread.start()
    while not errors and min(counts.values()) < 300:
        threads[0].join(0.05)
    is_over.set()
    for thread in threads:
        thread.join()
if errors:
    raise errors[0]
"""
    done = programs.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


def test_an_object_that_is_lost_on_its_way_to_the_caller_undoes_what_it_did() -> None:
    with pytest.raises(ZeroDivisionError):
        print(hs.accelerate(), 1 / 0)
    assert "lstm" not in vars(torch._VF)


def test_a_spawned_process_begins_without_and_an_object_that_nobody_keeps_stays_in_force() -> None:
    code = """
import gc, torch
import hiddenstate as hs
assert not {"lstm", "lstm_cell"} & set(vars(torch._VF))
hs.accelerate()
gc.collect()
with hs.accelerate():
    pass
assert "lstm" in vars(torch._VF)
"""
    with hs.accelerate():
        subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.skipif(not hasattr(Tensor, "__dlpack_c_exchange_api__"), reason="this torch has no table of functions")
def test_a_step_that_is_left_to_torch_is_counted_by_its_reason() -> None:
    cell, x = nn.LSTMCell(4, 3), torch.randn(2, 4)
    cell.bias_ih = nn.Parameter(torch.randn(24)[::2])
    with hs.accelerate() as acceleration:
        assert torch.equal(cell(x)[0], cell.forward(x)[0])
    reason = "bias_ih is [12] of torch.float32, strides (2,), not a contiguous tensor [12] of the weights' type"
    assert acceleration.report().left == {reason: 2}


def test_a_cell_of_torchs_is_edited() -> None:
    model, x = nn.ModuleDict({"cell": nn.LSTMCell(4, 3)}), torch.randn(2, 4)
    plain = model["cell"](x)
    with hs.accelerate(), hs.edit(model, hs.zero("cell.l0.c", unit=1)):
        h, c = model["cell"](x)
    assert not c[:, 1].any()
    assert torch.allclose(h[:, [0, 2]], plain[0][:, [0, 2]], atol=1e-6)
    assert torch.equal(model["cell"](x)[1], plain[1])
