"""One run at a time in a folder: live processes, killed ones, and the locks that these leave behind."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

import programs
from cli.commands import status_of
from hiddenstate.errors import ArgumentError, RunInUseError
from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.training import resume_language_model, train_language_model
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.training import resume_tagger, train_tagger
from hiddenstate.training.checkpoint import HOLDER, LOCK, LOCK_FILES, SETTINGS, RunFolder
from hiddenstate.training.loop import fit
from hiddenstate.training.task import Epoch, Step
from tasks import CONFIG, Line

TESTS = Path(__file__).parents[1]
DATA = TESTS / "data"
TAGGER = TaggerConfig(epochs=2, hidden_size=8, num_layers=1, word_size=8, batch_words=60, checkpoint_steps=1)
LANGUAGE = LanguageConfig(epochs=2, hidden_size=8, num_layers=1, rows=2, steps=20, checkpoint_steps=1)


def texts(folder: Path) -> tuple[Path, Path]:
    paths = folder / "train.txt", folder / "dev.txt"
    for path in paths:
        path.write_text("the quick brown fox jumps over the lazy dog. " * 20)
    return paths


def train(kind: str, out: Path, on_progress: Callable[[Step | Epoch], None] = lambda _: None) -> object:
    if kind == "tagger":
        files = DATA / "tiny-train.conllu", DATA / "tiny-dev.conllu"
        return train_tagger(*files, out, TAGGER, on_progress=on_progress)
    return train_language_model(*texts(out.parent), out, LANGUAGE, on_progress=on_progress)


RESUME: dict[str, Callable[[Path], object]] = {"tagger": resume_tagger, "lm": resume_language_model}


@contextmanager
def live(kind: str, out: Path) -> Iterator["subprocess.Popen[str]"]:
    """A separate process that trains until it is killed."""
    code = (
        f"import sys, time; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / 'training')!r}]\n"
        "from pathlib import Path\nfrom test_lock import train\n"
        "def wait(progress):\n"
        "    if getattr(progress, 'step', 0) == 3:\n"
        "        print('trains', flush=True)\n"
        "        time.sleep(600)\n"
        f"train({kind!r}, Path({str(out)!r}), wait)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = programs.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "trains\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["tagger", pytest.param("lm", marks=pytest.mark.slow)])
def test_a_folder_in_which_a_process_trains_is_refused_until_that_is_gone(tmp_path: Path, kind: str) -> None:
    out, run = tmp_path / "model", tmp_path / "model.run"
    with live(kind, out) as process:
        before = {path: path.read_bytes() for path in run.iterdir()}
        who = rf"model\.run is in use: process {process.pid} on {socket.gethostname()} trains there since \d{{4}}-.*"
        attempts: list[Callable[[], object]] = [
            lambda: train(kind, out),
            lambda: RESUME[kind](run),
            lambda: RunFolder(run).begin(""),
        ]
        for refused in attempts:
            with pytest.raises(RunInUseError, match=f"{who}. Wait until it ends, or stop it.*--resume"):
                refused()
        assert {path: path.read_bytes() for path in run.iterdir()} == before
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert HOLDER in {path.name for path in run.iterdir()}  # a process that no longer exists
    RESUME[kind](run)
    whole = tmp_path / "whole"
    train(kind, whole)
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    assert not set(LOCK_FILES) & {path.name for path in out.iterdir()}
    assert HOLDER not in {path.name for path in run.iterdir()}
    train(kind, out)  # replacing a finished run


def test_the_command_line_says_who_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    monkeypatch.chdir(tmp_path)
    with live("tagger", out) as process:
        for options in (["--resume", f"{out}.run"], ["--train", "a", "--dev", "b", "--out", str(out)]):
            for name in "ab":
                (tmp_path / name).write_text("")
            assert status_of(["train", "tagger", *options], monkeypatch) == 1
            said = capsys.readouterr().err
            assert said.startswith(f"hiddenstate: {out}.run is in use: process {process.pid} on ")
            assert said.count("\n") == 1


def test_blocks_stand_in_each_other_and_the_last_gives_the_folder_back(tmp_path: Path) -> None:
    run, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with run.held(), run.held():
        run.begin("")
        found = json.loads((run.path / HOLDER).read_text())
        assert (found["pid"], found["host"]) == (os.getpid(), socket.gethostname())
        with pytest.raises(RunInUseError, match=f"process {os.getpid()} on "), other.held():
            pass
        (run.path / HOLDER).write_text("half of")
        with pytest.raises(RunInUseError, match="in use: another process trains there"), other.held():
            pass
    assert sorted(path.name for path in run.path.iterdir()) == sorted([LOCK, SETTINGS])
    with other.held():
        pass


def test_a_task_of_ones_own_holds_the_folder_too(tmp_path: Path) -> None:
    run, task, seen = RunFolder(tmp_path / "run"), Line(), list[str]()
    run.begin("")

    def look(progress: Step | Epoch) -> None:
        with pytest.raises(RunInUseError) as refused:
            fit(Line(), RunFolder(run.path), tmp_path / "other", resume=True)
        seen.append(str(refused.value))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(task, run, tmp_path / "model", on_progress=look)
    assert len(seen) == 1
    assert not (tmp_path / "other").exists()
    assert len(fit(Line(), RunFolder(run.path), tmp_path / "model", resume=True)) == CONFIG.epochs


def test_another_thread_is_refused(tmp_path: Path) -> None:
    run, refused = RunFolder(tmp_path / "run"), list[Exception]()

    def enter() -> None:
        try:
            with run.held():
                pass
        except RunInUseError as error:
            refused.append(error)

    with run.held():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert len(refused) == 1
        assert (run.path / HOLDER).exists()
    assert not run.path.exists()


def test_what_never_began_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ArgumentError, match="not the folder of a run"):
        RunFolder(folder).begin("")
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]
    with pytest.raises(KeyError), RunFolder(tmp_path / "a" / "b").held():
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]
    with pytest.raises(ArgumentError, match="is a file; a run needs a folder"), RunFolder(folder / "thesis.tex").held():
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock, timeout: float) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    number, run = errno.ENOLCK, RunFolder(tmp_path / "run")
    with pytest.warns(UserWarning, match="file system of .*run has no locks; make sure yourself"):
        run.begin("")
    assert (run.path / SETTINGS).exists()
    number = errno.ENOSPC
    with pytest.raises(OSError, match="No space left"), run.held():
        pass
