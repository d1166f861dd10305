import json
import math
from pathlib import Path

import pytest
import torch

from hiddenstate.base.files import write_tensors
from hiddenstate.errors import ArgumentError, FileFormatError, FileWriteError
from hiddenstate.training.checkpoint import (
    CHECKPOINT,
    LOCK,
    METRICS,
    SETTINGS,
    Checkpoint,
    Position,
    RunFolder,
    default_run,
)
from hiddenstate.training.task import Epoch, Score, Step

STEP = Step(1, 2, 3, 4, 0.1, 0.2, 1e-3, 5.0, 6.0)
POSITION = Position(2, 1, 3, 4, 0.1 + 0.2, 1.5, 0.25, 1e-3, [Epoch(STEP, Score(0.1, "bad", {"a": 1.0}), True)])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.begin("x = 1\n")
    return folder


def checkpoint() -> Checkpoint:
    tensors = {"model.a": torch.ones(2), "model.b.c": torch.zeros(()), "more": torch.ones(1)}
    return Checkpoint(POSITION, "data", tensors)


def test_round_trip(run: RunFolder) -> None:
    assert run.check().read_text() == "x = 1\n"
    assert run.read("data") is None
    run.write(checkpoint(), finished=False)
    found = run.read("data")
    assert found is not None
    assert found.position == POSITION
    assert {name: value.tolist() for name, value in found.part("model").items()} == {"a": [1.0, 1.0], "b.c": 0.0}
    assert found.part("mode") == {}


def test_mend_cuts_off_what_came_after_the_checkpoint(run: RunFolder) -> None:
    run.log("step", {"loss": 1.0})
    run.write(checkpoint(), finished=False)
    run.log("step", {"loss": 2.0})
    (run.path / f"{CHECKPOINT}.x.part").write_bytes(b"half")
    run.mend()
    lines = (run.path / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "step", "loss": 1.0}]
    assert sorted(path.name for path in run.path.iterdir()) == sorted([CHECKPOINT, LOCK, METRICS, SETTINGS])


def test_numbers_that_json_lacks_are_null_wherever_they_are(run: RunFolder) -> None:
    run.log("step", {"loss": math.nan, "by_tag": {"NOUN": -math.inf}, "lengths": [1.0, (math.inf,)]})
    (line,) = (run.path / METRICS).read_text().splitlines()
    assert json.loads(line) == {"event": "step", "loss": None, "by_tag": {"NOUN": None}, "lengths": [1.0, [None]]}


def test_a_finished_run_may_be_replaced(run: RunFolder) -> None:
    run.log("step", {})
    run.write(checkpoint(), finished=True)
    run.begin("y = 2\n")
    assert sorted(path.name for path in run.path.iterdir()) == [LOCK, SETTINGS]
    assert run.check().read_text() == "y = 2\n"


def test_begin_fails(run: RunFolder, tmp_path: Path) -> None:
    run.write(checkpoint(), finished=False)
    with pytest.raises(ArgumentError, match=r"run holds an unfinished run; resume it \(--resume "):
        run.begin("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(ArgumentError, match=r"not the folder of a run: run\.toml is missing"):
        RunFolder(tmp_path / "other").begin("")
    with pytest.raises(ArgumentError, match="is a file"):
        RunFolder(tmp_path / "other" / "thesis.tex").begin("")


def test_read_fails(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"no run at .*none: run\.toml is missing"):
        RunFolder(tmp_path / "none").check()
    run.write(checkpoint(), finished=False)
    with pytest.raises(ArgumentError, match="data of the run in .* has changed"):
        run.read("other data")
    for state in ("{}", "nonsense", '{"position": {"wings": 2}}', '{"position": []}', '{"position": 7}'):
        write_tensors(run.path / CHECKPOINT, "hiddenstate.checkpoint/1", {"a": torch.ones(1)}, {"state": state})
        with pytest.raises(FileFormatError, match="is damaged"):
            run.read("data")
    write_tensors(run.path / CHECKPOINT, "hiddenstate.stream/1", {"a": torch.ones(1)}, {})
    with pytest.raises(FileFormatError, match=r"expected 'hiddenstate\.checkpoint/1'"):
        run.read("data")


@pytest.mark.parametrize("change", [{"epoch": -1}, {"step": 1.5}, {"batch": 2**80}, {"seconds": "a"}, {"history": [3]}])
def test_a_position_that_none_is_fails(run: RunFolder, change: dict[str, object]) -> None:
    state = {"position": {"history": [], **change}, "fingerprint": "data"}
    tensors = {"a": torch.ones(1)}
    write_tensors(run.path / CHECKPOINT, "hiddenstate.checkpoint/1", tensors, {"state": json.dumps(state)})
    with pytest.raises(FileFormatError, match=CHECKPOINT):
        run.read("data")


@pytest.mark.parametrize("length", [-1, 10**15, "many", None])
def test_metrics_are_not_made_longer_by_a_damaged_checkpoint(run: RunFolder, length: object) -> None:
    run.log("step", {})
    size = (run.path / METRICS).stat().st_size
    state = {"state": json.dumps({"metrics_bytes": length})}
    write_tensors(run.path / CHECKPOINT, "hiddenstate.checkpoint/1", {"a": torch.ones(1)}, state)
    if type(length) is int and length > 0:
        run.mend()
    else:
        with pytest.raises(FileFormatError, match="metrics_bytes is not a non-negative number"):
            run.mend()
    assert (run.path / METRICS).stat().st_size == size


def test_what_was_killed_as_it_began_can_begin_again(run: RunFolder) -> None:
    (run.path / SETTINGS).rename(run.path / f".{SETTINGS}.1234.part")
    run.begin("y = 2\n")
    assert run.check().read_text() == "y = 2\n"


def test_metrics_are_on_disk_before_the_checkpoint_that_counts_them(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("hiddenstate.training.checkpoint.sync", lambda path: done.append(path.name))
    monkeypatch.setattr("hiddenstate.training.checkpoint.write_tensors", lambda path, *_: done.append(path.name))
    run.log("step", {})
    run.write(checkpoint(), finished=False)
    assert done == [METRICS, CHECKPOINT]


@pytest.mark.parametrize("name", [METRICS, CHECKPOINT, LOCK])
@pytest.mark.parametrize("exists", [True, False])
def test_a_file_of_the_run_that_is_a_link_is_refused(run: RunFolder, tmp_path: Path, name: str, exists: bool) -> None:
    outside = tmp_path / "outside"
    if exists:
        outside.write_text("years of work")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(outside)
    with pytest.raises(FileWriteError, match="it is a link to .*outside, which would be changed"), run.held():
        pass
    if name == METRICS:
        for write in (run.mend, lambda: run.log("step", {})):
            with pytest.raises(FileWriteError, match="it is a link to"):
                write()
    assert (outside.read_text() if outside.exists() else None) == ("years of work" if exists else None)


def test_a_model_at_the_root_of_the_disk_has_no_run_beside_it() -> None:
    with pytest.raises(
        ArgumentError, match="/ cannot be a model's folder, since it has no name; give a folder inside it"
    ):
        default_run(Path("/"))
