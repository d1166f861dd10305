"""Training that is killed, or whose disk is full, at random moments: it must end with the files of an unbroken run."""

import faulthandler
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.training import resume_language_model, train_language_model
from hiddenstate.models.model_folder import load, load_language_model, load_tagger
from hiddenstate.models.series.config import SeriesConfig
from hiddenstate.models.series.training import resume_series, train_series
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.training import resume_tagger, train_tagger

DATA = Path(__file__).parents[1] / "data"
TEXT = "the cat sat on the mat . the dog saw the cat , and the cat saw the dog .\n" * 20
SECONDS = 120  # maximum seconds for one process, which takes two or three if alone on a core
FULL = 3  # the exit code of a process whose disk was full
FILES = ("weights.safetensors", "vocabulary.json", "config.json")


class Kind(NamedTuple):
    """A kind of model: how to train a small one, resume training, and load it."""

    train: Callable[[Path], object]
    resume: Callable[[Path], object]
    load: Callable[[Path], object]


def tagger(out: Path) -> None:
    config = TaggerConfig(
        epochs=3, hidden_size=12, num_layers=1, batch_words=60, average=0.9, log_steps=1, checkpoint_steps=1
    )
    train_tagger(DATA / "tiny-train.conllu", DATA / "tiny-dev.conllu", out, config)


def language_model(out: Path) -> None:
    text = out.with_name("text")
    text.write_text(TEXT)
    config = LanguageConfig(
        epochs=3, hidden_size=12, embedding_size=6, rows=4, steps=12, log_steps=1, checkpoint_steps=1, cell="gru"
    )
    train_language_model(text, text, out, config)


def series(out: Path) -> None:
    data = out.with_name("data.csv")
    data.write_text("flow,rain\n" + "".join(f"{k * k % 17},{k % 5}\n" for k in range(90)))
    config = SeriesConfig(
        target=("flow",), epochs=3, hidden_size=5, window=4, batch_windows=8, log_steps=1, checkpoint_steps=1
    )
    train_series(data, out, config)


KINDS = {
    "tagger": Kind(tagger, resume_tagger, load_tagger),
    "language-model": Kind(language_model, resume_language_model, load_language_model),
    "series": Kind(series, resume_series, load),
}


def run_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.run")


def go_on(kind: Kind, out: Path, full: int | None = None) -> None:
    """Train, from the last checkpoint if there is one; no file may grow beyond ``full`` bytes, as on a full disk."""
    if full is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, full))
    if (run_of(out) / "run.toml").exists():
        kind.resume(run_of(out))
    else:
        kind.train(out)


def forked(work: Callable[[], None], moment: float | None = None) -> int:
    """Do work in a fork, killed after this many CPU seconds; return its exit code, or minus the signal."""
    child = os.fork()
    if not child:
        code = 1
        faulthandler.dump_traceback_later(SECONDS - 5)  # so that it is always known what it is doing
        try:
            work()
            code = 0
        except OSError as error:
            code = FULL if "File too large" in str(error) else 1
        finally:
            if code == 1:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
    began, ended = time.monotonic(), (0, 0)
    while not ended[0] and time.monotonic() - began < SECONDS:
        time.sleep(0.001)
        if moment is not None and processor_time(child) > moment:
            os.kill(child, signal.SIGKILL)
            moment = None
        ended = os.waitpid(child, os.WNOHANG)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise RuntimeError(f"a process took over {SECONDS} seconds")
    return os.waitstatus_to_exitcode(ended[1])


def processor_time(process: int) -> float:
    """The CPU seconds of a process, which do not depend on other load."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def content(out: Path) -> tuple[list[bytes], list[int], list[str]]:
    """The parts of two runs that must be equal: the model's files, the logged steps, the names of the remaining
    files."""
    lines = (run_of(out) / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    return [(out / name).read_bytes() for name in FILES], steps, sorted(path.name for path in out.parent.iterdir())


def break_runs(name: str, first: int, count: int, folder: Path) -> None:
    """Break this many runs, let each end, and compare it; the outcome is written into ``folder / "at"``."""
    kind, whole = KINDS[name], folder / "whole" / "model"
    whole.parent.mkdir()
    before = os.times()
    if forked(partial(go_on, kind, whole)):
        raise RuntimeError("the unbroken run failed")
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    want = content(whole)
    kills = full = 0
    for k in range(first, first + count):
        (folder / "at").write_text(f"{name} {k}")
        out = folder / str(k) / "model"
        out.parent.mkdir()
        codes = broken(kind, out, random.Random(f"{name} {k}"), seconds)
        kills, full = kills + codes.count(-signal.SIGKILL), full + codes.count(FULL)
        if content(out) != want:
            raise RuntimeError(f"{name} {k}: after {codes} the end is another")
    (folder / "at").write_text(f"{count} runs, {kills} kills, {full} full disks, all ends bit-equal")


def broken(kind: Kind, out: Path, draw: random.Random, seconds: float) -> list[int]:
    """Break one run once or more, and let it end; return the exit codes."""
    codes: list[int] = []
    for _ in range(draw.choice((1, 2, 3))):
        full = int(2 ** draw.uniform(0, 18)) if draw.random() < 0.25 else None
        moment = draw.uniform(0, 0.8 * seconds) if full is None else None
        code = forked(partial(go_on, kind, out, full), moment)
        if code not in (0, -signal.SIGKILL, FULL):
            raise RuntimeError(f"a run ended with {code}, after {codes}")
        codes.append(code)
        if out.exists():
            kind.load(out)  # whole, whatever happened
    if forked(partial(go_on, kind, out)):
        raise RuntimeError(f"a run does not go on, after {codes}")
    return codes
