"""Every door (a public function, method or command) against every hazard: a test for each pair, or why none applies.

`DOORS` gives the kind of each door, and `CELLS` the tests of each kind for each hazard. `test_doors` has those with
freed memory.
"""

import random
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import nn

import hiddenstate as hs
from hiddenstate import explain
from hiddenstate.cli import app
from interrupts import Interrupter, interrupted_everywhere
from language_models import make
from nn.test_repack import by_data, by_dlpack, by_numpy, by_storage
from test_doors import OF, TOOLS, doors_with_tests, public_doors
from test_interrupts import LSTM, X, is_same, is_untouched

TESTS = Path(__file__).parent
HAZARDS = ("huge", "absurd", "link", "escape", "stale", "interrupt", "fork")

HOLDS_NONE = "it takes and holds no tensors"
ABSTRACT = "it is abstract, and each result is tested"
OWN_NETWORK = "it makes small networks of its own"
OWN_STATE = "its state is its own, and handed out as copies"
OWN_WORDS = "torch or the engine refuses freed memory here, in its own words"
FROM_FILES = "it reads files, whose tensors are new"
# By kind, and a reason why freed memory is no hazard, or "" if a table of `test_doors` has the doors.
DOORS: dict[tuple[str, str], str] = {
    ("command", FROM_FILES): """
        $evaluate $explain $export $page $read $score $search $structure $studio $tag $units $version
    """,
    ("generating command", FROM_FILES): "$generate",
    ("command that fills a folder", FROM_FILES): "$corpus $course $train",
    ("index", FROM_FILES): "$index",
    ("index", ""): "index",
    ("index", "an index holds arrays of its own, read from its folder"): "open_index Index.*",
    ("call", ""): "LSTM.forward LSTM.path",
    ("cell", ""): "LSTMCell.forward LSTMCell.edit LSTMCell.path",
    ("packed", ""): """
        Stream.step Stream.feed ModelStream.step ModelStream.feed LSTM.stream constant_weights LSTM.quantize
    """,
    ("packed", "it only moves parameters between classes, and reads none"): "repack",
    ("stream", ""): "Stream.path Stream.reset",
    ("stream", OWN_STATE): "Stream.fork Stream.join Stream.leave *Stream.state_of Stream.weights",
    ("block", ""): "accelerate LSTM.edit",
    ("block", HOLDS_NONE): "backend Acceleration.*",
    ("block", "it opens a block, and the calls inside are checked"): "edit",
    ("record", ""): "trace LSTM.trace Subject.run Subject.trace",
    ("writer", ABSTRACT): "Explanation.plot Explanation.save Explanation.to_csv",
    ("writer", HOLDS_NONE): """
        Graph.plot Graph.save Graph.to_csv LearnedAutomaton.plot LearnedAutomaton.save LearnedAutomaton.to_csv
        SelfCheck.plot SelfCheck.save SelfCheck.to_csv Structure.plot
    """,
    ("writer", OWN_STATE): "Stream.save",
    ("writer", "it writes the page that `studio` made of checked tensors"): "Studio.save",
    ("writer", ""): "*.save *.plot *.to_csv export_c export_onnx save",
    ("reader", FROM_FILES): "load Trace.load Stream.load ModelStream.load from_onnx",
    ("reader", HOLDS_NONE): "find_lstms",
    ("reader", ""): "tagger language_model series_model what_if",
    ("copy", "it copies arrays by the function that from_keras is tested with"): "from_equinox from_flax",
    ("copy", "it only moves parameters between classes, and reads none"): "LSTM.flatten_parameters",
    ("copy", ""): """
        from_torch from_state_dict from_keras convert convert_back LSTM*.to_torch LSTM.dequantize LSTM.weight
        LSTM*.reset_parameters equinox_weights flax_weights keras_weights onnx_weights
    """,
    ("edit", "it only stores the tensor, which is checked when the edit is applied"): "add scale",
    ("edit", HOLDS_NONE): "clamp Graph.edit Graph.ablation",
    ("edit", ""): """
        zero patch mean_ablation resample_ablation Comparison.edit Ledger.edit ReadoutLedger.edits Sweep.edit
        Probe.erase Probe.steer NumberProbe.erase NumberProbe.steer
    """,
    ("tool", HOLDS_NONE): "Graph.check* LearnedAutomaton.run",
    ("tool", ""): f"""
        {" ".join(TOOLS)} automaton check dynamics probe selfcheck stream subject Dynamics.* Comparison.check*
    """,
    ("values", ABSTRACT): "Explanation.*",
    ("values", HOLDS_NONE): """
        CheckReport.raise_if_broken
        AutomatonPlant.expected Plant.expected Machine.draw Machine.unit Machine.words ModelTrace.calls
        ModelTrace.trace_at Subject.place Target.linear Graph.rows Graph.to_* Graph.top LearnedAutomaton.* SelfCheck.*
    """,
    ("values", OWN_NETWORK): "AutomatonPlant.inputs",
    ("values", OWN_WORDS): """
        *Plant.measured *Plant.worth Head.logits Head.readout Machine.encode Machine.run Machine.told ModelTrace.joined
        Outputs.* Subject.rows_of Target.of
    """,
    ("values", ""): """
        *.rows *.to_dict *.to_json *.to_dataframe *.to_xarray *.top *Attribution.between *Attribution.player
        Comparison.largest NumberProbe.predict
        FixedPoints.kind_of FixedPoints.state Ledger.erased_at Trace.at Trace.before_resets Trace.cell_before Trace.pick
        Trace.recorded Subject.only Plant.inputs Machine.decode
    """,
    ("names", OWN_WORDS): "Trace.row_length",
    ("names", HOLDS_NONE): """
        Sizes.* Structure.of Structure.to_dicts LSTM.structure LSTM*.extra_repr RNNCell.extra_repr LSTM.trace_nbytes
        Head.index Trace.words Subject.words Subject.row_length Subject.step_of Graph.into Graph.node Moment.*
        conversion_report structure_of logit log_probability output Verdict
    """,
    ("plant", OWN_NETWORK): """
        accumulator bistable copied_unread counter delay dyck flip_flop garden integrator latch opened gru_counter
        gru_latch
    """,
    ("studio", ""): "studio",
    ("studio", "it runs the page that `studio` made of checked tensors"): "Studio.*",
}
PATTERNS = [(kind, why, pattern) for (kind, why), patterns in DOORS.items() for pattern in patterns.split()]

# Ids of tests are "file::name", relative to this folder; anything else is a reason.
FILES = "test_attack.py::test_small_files_that_ask_for_much_are_refused_or_read_within_bounds"
HUGE = "test_doors.py::test_an_input_that_is_huge_by_stride_is_refused_before_anything_is_computed"
OUTPUT = "test_doors.py::test_a_call_whose_output_no_memory_holds_fails_before_anything_is_computed"
ABSURD = "test_doors.py::test_an_absurd_number_is_refused_with_what_to_reduce"
CALLS = "test_attack_calls.py::test_an_absurd_argument_is_refused_by_an_error_of_ours_or_served"
LINES = "test_interrupts.py::test_an_interrupt_at_any_line_leaves_nothing_in_force"
FORKS = "base/test_forks.py::test_a_child_forked_beside_any_held_lock_goes_on"
REPACK = "nn/test_repack.py::test_what_torch_does_not_count_is_used_after_repacking"
TERMINAL = "cli/test_terminal.py::test_no_command_passes_control_characters_on"
LINK = "test_door_hazards.py::test_a_link_stays_and_the_file_that_it_leads_to_is_replaced"
TOOL = "test_door_hazards.py::test_an_interrupted_tool_leaves_nothing_in_force"
ROWS = "test_door_hazards.py::test_an_interrupted_change_of_a_streams_rows_is_done_or_not"
CONVERTED = "test_door_hazards.py::test_an_interrupted_conversion_leaves_a_model_that_can_be_converted"
INDEX_LINK = "corpus/test_shards.py::test_a_link_in_the_folder_is_not_written_through"

COMMON = {
    "huge": "it takes no input of its own",
    "absurd": "it takes no number that sets how much is computed",
    "link": "it writes no file",
    "escape": "it prints nothing",
    "stale": "it keeps no packed weights",
    "interrupt": "it changes nothing that outlives the call",
    "fork": "it takes no lock",
}
COMMAND = {
    "huge": FILES,
    "link": LINK,
    "escape": TERMINAL,
    "interrupt": "cli/test_terminal.py::test_ctrl_c_ends_a_command_without_a_word",
}
CELLS: dict[str, dict[str, str]] = {
    "command": COMMAND,
    "generating command": {
        **COMMAND,
        "absurd": "cli/test_generate.py::test_a_length_beyond_all_use_fails",
        "escape": f"{TERMINAL} cli/test_terminal.py::test_a_language_model_sends_no_commands",
    },
    "command that fills a folder": {
        **COMMAND,
        "link": " ".join(
            (
                "training/test_checkpoint.py::test_a_file_of_the_run_that_is_a_link_is_refused",
                "course/test_checks.py::test_nothing_is_copied_through_a_link_that_leads_out_of_the_folder",
            )
        ),
        "interrupt": "test_broken_training.py::test_a_run_that_is_interrupted_anywhere_can_be_resumed",
    },
    "call": {
        "huge": OUTPUT,
        "absurd": CALLS,
        "interrupt": LINES,
        "fork": "engine/test_native.py::test_a_forked_process_does_not_wait_for_threads_that_did_not_come_along",
    },
    "cell": {
        "huge": OUTPUT,
        "absurd": CALLS,
        "stale": "test_door_hazards.py::test_a_cell_reads_its_weights_anew_in_each_step",
        "interrupt": LINES,
        "fork": FORKS,
    },
    "packed": {
        "huge": OUTPUT,
        "absurd": CALLS,
        "stale": REPACK,
        "interrupt": "test_interrupts.py::test_an_interrupted_stream_has_the_state_before_or_after_a_step",
        "fork": FORKS,
    },
    "stream": {"stale": REPACK, "absurd": CALLS, "interrupt": ROWS},
    "block": {"interrupt": LINES, "fork": FORKS},
    "record": {"huge": HUGE, "absurd": CALLS, "interrupt": LINES, "fork": FORKS},
    "writer": {
        "link": LINK,
        "interrupt": "test_interrupts.py::test_an_interrupted_save_leaves_what_was_there_or_the_new_file",
    },
    "index": {
        "huge": HUGE,
        "absurd": "corpus/test_search.py::test_a_query_that_does_not_follow_the_grammar_is_refused",
        "link": INDEX_LINK,
        "escape": TERMINAL,
        "interrupt": "corpus/test_shards.py::test_an_interrupted_run_is_completed_and_nothing_is_done_again",
    },
    "reader": {"huge": FILES},
    "copy": {"interrupt": CONVERTED},
    "edit": {},
    "tool": {"huge": HUGE, "absurd": ABSURD, "interrupt": TOOL, "fork": FORKS},
    "values": {},
    "names": {},
    "plant": {},
    "studio": {
        "huge": HUGE,
        "escape": "a page escapes HTML, and a server prints its own address only",
        "fork": FORKS,
    },
}


def doors() -> set[str]:
    commands: Any = typer.main.get_command(app)
    return public_doors() | {f"${name}" for name in commands.commands}


def row_of(door: str) -> tuple[str, str, str]:
    """The first row of a door: its kind, a reason why freed memory is no hazard, and the pattern."""
    rows = [row for row in PATTERNS if fnmatchcase(door, row[2])]
    assert rows, f"{door} is new: it needs a row of `DOORS`, and one in `test_doors` if it may read freed memory"
    return rows[0]


@pytest.mark.parametrize("door", sorted(doors()))
def test_every_door_meets_every_hazard(door: str) -> None:
    """Each hazard of its kind has a reason, or names a test that exists."""
    kind, reason, _ = row_of(door)
    assert (door in doors_with_tests()) == (not reason), reason or "no table of test_doors has it"
    for hazard in HAZARDS:
        for path, name in re.findall(r"(\S+\.py)::(\w+)", {**COMMON, **CELLS[kind]}[hazard]):
            text = (TESTS / path).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", text, re.MULTILINE), (hazard, name)


def test_every_row_has_a_door() -> None:
    used = {row_of(door) for door in doors()}
    assert [row for row in PATTERNS if row not in used] == []


TRACED = LSTM.trace(X)
FOUND = explain.ledger(hs.LSTM(2, 3), torch.randn(4, 1, 2), place="l0.c[1]")
WRITERS: dict[str, Callable[[Path], object]] = {
    "Trace.save": TRACED.save,
    "Trace.plot": lambda path: TRACED.plot(path=path),
    "Stream.save": LSTM.stream(2).save,
    "ModelStream.save": hs.stream(nn.Sequential(LSTM), X).save,
    "save": lambda path: hs.save(make(), path),
    "export_onnx": lambda path: hs.export_onnx(LSTM, path, check=False),
    "export_c": lambda path: hs.export_c(LSTM, path, args=(X,)),
    "Ledger.save": FOUND.save,
    "Ledger.to_csv": FOUND.to_csv,
    "Ledger.plot": lambda path: FOUND.plot(path=path),
    "Structure.plot": lambda path: LSTM.structure().plot(path=path),
    "Studio.save": lambda path: hs.studio(LSTM).save(path),
}


@pytest.mark.parametrize("door", WRITERS)
def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(door: str, tmp_path: Path) -> None:
    outside, link = tmp_path / "outside.svg", tmp_path / "folder" / "link.svg"
    link.parent.mkdir()
    link.symlink_to(outside)
    for _ in range(2):  # at first the link is broken
        WRITERS[door](link)
        assert link.is_symlink()
        assert outside.exists()
        assert not outside.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"outside.svg", "folder"}
    assert {path.name for path in link.parent.iterdir()} == {"link.svg"}


SYMBOLS = {"a": torch.zeros(4), "b": torch.ones(4)}
CALLS_OF_TOOLS: dict[str, Callable[[], Any]] = {
    **{name: partial(call, LSTM, X[:, :1]) for name, (_, call) in TOOLS.items()},
    "dynamics": lambda: explain.dynamics(LSTM, X[:, :1]).timescales(),
    "automaton": lambda: explain.automaton(LSTM, SYMBOLS, output=lambda out: [0] * len(out)),
    "check": lambda: hs.check(nn.Sequential(LSTM), X, layout="TN"),
    "stream": lambda: hs.stream(nn.Sequential(LSTM), X),
    "of a series": lambda: explain.attribute(nn.Sequential(LSTM), X[:, :1], of=0, features=True, spans=5),
    "of a model": lambda: explain.attribute(nn.Sequential(LSTM), X[:, :1], of=OF),
}


@pytest.mark.parametrize("tool", CALLS_OF_TOOLS)
def test_an_interrupted_tool_leaves_nothing_in_force(tool: str) -> None:
    """At lines drawn with a fixed seed."""
    CALLS_OF_TOOLS[tool]()
    whole = Interrupter(10**9)
    assert whole.run(CALLS_OF_TOOLS[tool]) is None
    for k in random.Random(tool).sample(range(whole.count), 8):
        interrupter = Interrupter(k)
        error = interrupter.run(CALLS_OF_TOOLS[tool])
        # An interrupted sweep may return the finished cells.
        assert isinstance(error, KeyboardInterrupt) or tool == "sweep" or not interrupter.is_raised, error
        is_untouched()


ON_ROWS: dict[str, Callable[[hs.Stream], object]] = {
    "reset": lambda stream: stream.reset(torch.tensor([True, False])),
    "leave": lambda stream: stream.leave(0),
    "join": lambda stream: stream.join(),
    "fork": lambda stream: stream.fork(),
    "state_of": lambda stream: stream.state_of(0),
    "weights": lambda stream: stream.weights(),
}


@pytest.mark.parametrize("name", ON_ROWS)
def test_an_interrupted_change_of_a_streams_rows_is_done_or_not(name: str) -> None:
    begun = LSTM.stream(batch=2)
    begun.feed(X[:2])
    stream = begun.fork()
    before = (stream.t, *stream.state)
    ON_ROWS[name](stream)
    after = (stream.t, *stream.state)
    stream = begun.fork()

    def check(_: BaseException) -> None:
        nonlocal stream
        found = (stream.t, *stream.state)
        assert any(found[1].shape == each[1].shape and is_same(found, each) for each in (before, after))
        stream.feed(torch.zeros(1, found[1].shape[1], 4))  # not locked
        stream = begun.fork()

    interrupted_everywhere(lambda: ON_ROWS[name](stream), check, 1)


@pytest.mark.parametrize("is_back", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_interrupted_conversion_leaves_a_model_that_can_be_converted(is_back: bool) -> None:
    convert, kind = (hs.convert_back, nn.LSTM) if is_back else (hs.convert, hs.LSTM)

    def new() -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.LSTM(4, 3, 2), nn.Identity()).eval()
        if is_back:
            hs.convert(model, inplace=True)
        return model

    model = new()
    want = model(X)[0].detach()

    def check(_: BaseException) -> None:
        nonlocal model
        assert torch.allclose(model(X)[0], want, atol=1e-6)
        convert(model, inplace=True)
        assert type(next(model.children())) is kind
        assert torch.allclose(model(X)[0], want, atol=1e-6)
        model = new()

    interrupted_everywhere(lambda: convert(model, inplace=True), check, 50)


@torch.no_grad()
def test_a_cell_reads_its_weights_anew_in_each_step() -> None:
    cell, x = hs.LSTMCell(40, 64).eval(), torch.randn(1, 40)
    for write in (by_data, by_numpy, by_dlpack, by_storage):
        before = cell(x)
        write(cell.weight_hh)
        write(cell.weight_ih)
        after, fresh = cell(x), hs.LSTMCell(40, 64)
        fresh.load_state_dict(cell.state_dict())
        assert not torch.equal(before[0], after[0])
        assert all(map(torch.equal, after, fresh(x)))
