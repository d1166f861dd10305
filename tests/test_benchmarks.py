import os
import pickle
import re
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch

import floors
import grid
import int8_accuracy
import int8_layers
import layers
import machine
import odd_contestants as odd
from ceilings import Ceilings, Level, Rate
from contestants import Contestant, Entry, MissingPeerError, gap, if_it_runs, itself
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.text.conllu import from_words, with_tags
from measure import FEWEST_SLOW_TURNS, FEWEST_TURNS, SLOW, LostError, Pace, medians, take_turns
from onnx_file import int8_bytes_of
from regime import Regime, entered, made
from regimes import INFERENCE, INT8, REGIMES, STREAM_INT8
from shapes import Case, Shape
from workers import Worker

SMALL = Shape(T=5, N=3, H=8, L=2, bidirectional=True)
# Enough units for int8 kernels to be used.
WIDE, STEP = Shape(T=5, N=3, H=40, L=2, bidirectional=True, features=33), Shape(T=1, N=2, H=40)
QUICK = Pace(turn=0.0, pause=0.0)
PATIENCE = 600.0  # seconds: shared machines are sometimes slow


def test_regimes_of_the_table_are_told_apart() -> None:
    assert len({regime.name for regime in REGIMES}) == len(REGIMES)
    assert any(regime.quick for regime in REGIMES)


def test_contestants_of_the_table_can_be_sent_to_their_workers() -> None:
    for regime in REGIMES:
        assert pickle.loads(pickle.dumps(regime)) == regime


@pytest.mark.parametrize(("entries", "shape"), [(INFERENCE[:3], SMALL), (INT8, WIDE), (STREAM_INT8, STEP)])
def test_peers_give_our_numbers(entries: tuple[Entry, ...], shape: Shape) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ours, *peers = [entry(Case(shape)) for entry in entries]
    shown = ours.shown(ours.run())
    assert shown.abs().max() > 0.1
    for peer in peers:
        assert peer.tolerance is not None
        assert gap(shown, peer.shown(peer.run())) <= peer.tolerance, peer.name


@pytest.mark.parametrize(("kind", "precision"), [*product(("LSTM", "GRU"), grid.TOLERANCES), ("RNN", "float32")])
def test_all_of_a_row_of_the_grid_give_our_numbers(kind: str, precision: str) -> None:
    pytest.importorskip("onnxruntime")
    for task in ("step", "inference", "training") if precision != "int8" else ("step", "inference"):
        problem = grid.Problem(task, precision, kind, 1, 40)
        assert (grid.ONNXRUNTIME in problem.entries()) is (
            task != "training" and (precision == "float32" or (kind, precision) == ("LSTM", "int8"))
        )
        results = {}
        for who in problem.entries():
            contestant = grid.contestant(who, problem)
            results[who] = contestant.shown(contestant.run())
        assert all(gap(results[grid.OURS], result) <= grid.TOLERANCES[precision] for result in results.values())


def test_weights_of_8_bits_are_what_is_measured() -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    case = Case(WIDE)
    kinds = [node.op_type for node in onnx.load_from_string(int8_bytes_of(case, stateful=False)).graph.node]
    assert kinds.count("DynamicQuantizeLSTM") == WIDE.L
    assert "LSTM" not in kinds
    assert case.ours_int8.weight_format == "int8"


@pytest.mark.slow
def test_each_contestant_has_a_process_of_its_own_and_only_good_ones_take_turns() -> None:
    entries = (layers.ours, odd.other_numbers, odd.missing, odd.dies_at_once, odd.breaks_off, odd.dies_later)
    with entered(Regime("sequence", SMALL, (*entries, layers.torch_no_grad)), PATIENCE) as found:
        assert [worker.name for worker in found.contestants] == ["hiddenstate", "one that dies", "torch, no_grad"]
        assert "other differs by" in found.wrong[0]
        assert found.missing == ["nothing is installed"]
        died, broke_off = found.lost
        assert "dies_at_once died" in died
        assert "breaks_off broke off: ValueError: no such shape" in broke_off
        pids = {worker.pid for worker in found.contestants}
        assert len(pids - {os.getpid()}) == 3
        ours, lost, theirs = take_turns(found.contestants, 0.0, QUICK, found.lost)
        assert lost is None
        assert "one that dies died" in found.lost[2]
        assert ours is not None
        assert theirs is not None
        assert min(ours, theirs) > 0
    assert not any(_runs(pid) for pid in pids)


def test_a_worker_that_hangs_is_given_up() -> None:
    with Worker("worker", PATIENCE) as worker:
        worker.begin(partial(made, odd.hangs_later, Regime("", SMALL, ())))
        assert worker.entered().name == "one that hangs"
        worker.patience = 0.5
        with pytest.raises(LostError, match="one that hangs did not answer"):
            worker.turn(QUICK)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("ends", ["interrupted", "killed"])
def test_no_worker_outlives_who_started_it(ends: str) -> None:
    """After Ctrl-C, which all processes of a terminal receive, or a signal that leaves no time to clean up."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, odd.__file__ or ""]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True, env=environment
    ) as main:
        assert main.stdout is not None
        pid = int(main.stdout.readline())
        assert _runs(pid)
        if ends == "interrupted":
            os.killpg(main.pid, signal.SIGINT)
        else:
            main.kill()
    end = time.monotonic() + PATIENCE
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether a process exists; a zombie has ended, but its parent has not collected its status."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()


class Fake:
    """A contestant that reports turns of given durations; it is lost at one of them."""

    def __init__(self, seconds: float, lost_at: int | None = None) -> None:
        self.seconds, self.lost_at, self.turns = seconds, lost_at, 0

    def turn(self, pace: Pace) -> float:
        self.turns += 1
        if self.turns == self.lost_at:
            raise LostError("gone")
        return self.seconds


def test_who_is_lost_has_no_median_and_the_others_go_on() -> None:
    first, gone, slow, lost = Fake(1.0), Fake(1.0, lost_at=3), Fake(SLOW + 1.0), list[str]()
    assert take_turns([first, gone, slow], 0.0, QUICK, lost) == [1.0, None, SLOW + 1.0]
    assert lost == ["gone"]
    assert (first.turns, gone.turns, slow.turns) == (FEWEST_TURNS, 3, FEWEST_SLOW_TURNS)


def test_without_the_first_there_is_nothing_to_measure_by() -> None:
    lost: list[str] = []
    assert take_turns([Fake(1.0, lost_at=2), Fake(1.0)], 0.0, QUICK, lost) == [None, None]
    assert lost == ["gone"]


def test_what_a_stream_waits_between_steps_is_not_timed() -> None:
    runs: list[None] = []
    waits = Contestant("waits", lambda: runs.append(None), itself, idle=0.02)
    assert medians([waits], 0.0, Pace(turn=0.04, pause=0.0))[0] < 0.01
    assert len(runs) >= FEWEST_TURNS


def test_processor_time_of_workers_is_not_others() -> None:
    assert machine._seconds_of(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=1.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert machine._seconds_of(ended.pid) == 0


def test_a_peer_that_does_not_run_on_this_processor_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn.LSTM, "forward", refuse)
    for entry in (layers.torch_bfloat16, layers.torch_autocast, layers.torch_stream_bfloat16):
        with pytest.raises(MissingPeerError, match="could not create a primitive descriptor"):
            entry(Case(SMALL))


def test_torch_without_dynamic_quantisation_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    with pytest.raises(MissingPeerError, match="torch, dynamic int8, is left out"):
        int8_layers.torch_int8(Case(SMALL))


def test_accuracy_of_8_bits_is_counted_over_words_that_have_a_tag(capsys: pytest.CaptureFixture[str]) -> None:
    tagger = load_tagger("tagger-en")
    forms = ("Giraffes", "in", "a", "field")
    right = tagger.tag([forms])[0].tags
    sentence = with_tags(from_words(forms), [right[0], "_", "X", right[3]])
    assert int8_accuracy.accuracy(tagger, [sentence]) == 2 / 3
    int8_accuracy.reading("To be, or not to be", 0.0, QUICK)
    first, second = re.findall(r"(?:float32|int8) +([0-9.]+)$", capsys.readouterr().out, re.MULTILINE)[:2]
    assert first != second
    assert float(first) == pytest.approx(float(second), abs=0.05)


def test_a_peer_is_tried_apart_from_what_is_measured() -> None:
    """Each run advances a stream's state: a stream that was tried is a step ahead of ours."""
    made: list[list[None]] = []

    def make() -> Contestant:
        runs: list[None] = []
        made.append(runs)
        return Contestant("peer", lambda: runs.append(None), itself)

    if_it_runs(make)
    assert [len(runs) for runs in made] == [1, 0]


def test_floor_of_a_step_is_its_weights_read_once_and_of_a_batch_its_operations() -> None:
    near, far = Level("L1", 1 << 10, Rate(1e9, 2e9)), Level("memory", 1 << 40, Rate(1e8, 1e8))
    ceilings = Ceilings(2, Rate(1e11, 2e11), [near, far])
    assert floors.forward(Shape(1, 1, 64), ceilings) == pytest.approx(4 * 64 * (64 + 64) * 4 / 1e8)
    assert floors.forward(Shape(1, 1, 4), ceilings) == pytest.approx(4 * 4 * (4 + 4) * 4 / 2e9)
    assert floors.forward(Shape(10, 10**6, 64), ceilings) == pytest.approx(8 * 10 * 10**6 * 64 * (64 + 64) / 2e11)
