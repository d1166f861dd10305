"""Damaged files and bombs, read with limited memory and time: each loads, or is rejected with one of our errors."""

import faulthandler
import os
import random
import resource
import shutil
import signal
import time
import warnings
from contextlib import nullcontext
from pathlib import Path

import torch

from attacks.bombs import BOMBS
from attacks.damage import damaged
from attacks.formats import FORMATS
from attacks.hdf5 import read_here
from hiddenstate.errors import HiddenStateError

MEMORY, SECONDS = 1 << 30, 10  # memory beyond the process's initial memory; CPU seconds for one file
_LONGEST = 120  # wall-clock seconds, on a busy machine


def processor_time() -> int:
    """The whole CPU seconds of this process."""
    return int(time.process_time()) + 1


def limited(at: Path) -> None:
    """Limit this process's memory; what it is about to do is written into ``at``."""
    warnings.simplefilter("ignore")
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    at.write_text("nothing")


def blow_up(name: str, folder: Path) -> None:
    """Make and read one bomb."""
    bomb, path = BOMBS[name], folder / name
    bomb.make(path)
    limited(folder / "at")
    faulthandler.dump_traceback_later(_LONGEST, exit=True)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (processor_time() + SECONDS, hard))
    try:
        bomb.read(path)
        told = ""
    except HiddenStateError as error:
        told = str(error)
    if bomb.said not in told or bool(told) != bool(bomb.said) or (told and str(path) not in told):
        raise RuntimeError(f"{name}: got {told!r}, expected {bomb.said!r} of {path}")
    (folder / "at").write_text("refused" if told else "read")


def read_damaged(name: str, first: int, count: int, apart: int, folder: Path) -> None:
    """Damage and read files of one format; the next file is noted in ``folder / "at"``.

    One in this many HDF5 files is read as usual, in a separate process; the others in this one, which is faster.
    """
    known, whole, place = FORMATS[name], folder / "whole" / name, folder / name
    whole.parent.mkdir()
    torch.manual_seed(0)
    known.make(whole)
    known.read(whole)
    (shutil.copytree if whole.is_dir() else shutil.copy)(whole, place)
    files = [place / known_name if whole.is_dir() else place for known_name in known.names]
    contents = [file.read_bytes() for file in files]
    at, refused = folder / "at", 0
    limited(at)
    said = os.open(at, os.O_WRONLY)
    for late in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(late, chain=True)  # prints where it hangs, and ends the process
    for k in range(first, first + count):
        os.pwrite(said, f"{name} {k}, {refused} refused before".ljust(64).encode(), 0)
        draw = random.Random(f"{name} {k}")
        chosen = draw.randrange(len(files))
        for file, content in zip(files, contents, strict=True):  # what reads a run mends it
            file.write_bytes(content)
        files[chosen].write_bytes(damaged(contents[chosen], draw))
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, _LONGEST)
        try:
            with nullcontext() if k % apart == 0 else read_here():
                known.read(place)
        except HiddenStateError as error:
            if str(place) not in str(error):
                raise RuntimeError(f"{name} {k}: no name of the file in {error!r}") from error
            refused += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    at.write_text(f"{refused} of {count} refused")
