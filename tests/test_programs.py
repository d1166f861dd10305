"""Programs that are forked begin, talk and end as those that Python starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import programs

if sys.platform != "linux":
    pytest.skip("elsewhere each program gets an interpreter", allow_module_level=True)

SEEN = """
import json, os, sys
module = sys.modules["__main__"]
seen = [sys.argv, sys.path[0], os.getcwd(), __name__, module.__dict__ is globals(), sys.stdin.read()]
seen += [os.environ.get("SAID"), "TO_GO" in os.environ, os.getpgrp() == os.getpid(), len(os.listdir("/proc/self/task"))]
seen += [sorted(os.listdir("/proc/self/fd"))[:-1], sys.stdout.line_buffering, sys.stderr.line_buffering]
print(json.dumps(seen))
print("é", file=sys.stderr)
sys.exit(3)
"""


def both(*arguments: str | Path, **options: Any) -> list[subprocess.CompletedProcess[Any]]:
    command = [sys.executable, *map(str, arguments)]
    return [module.run(command, capture_output=True, **options) for module in (subprocess, programs)]


@pytest.mark.parametrize("form", ["code", "module", "script"])
def test_what_a_program_sees_is_the_same(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TO_GO", "1")
    (tmp_path / "seen.py").write_text(SEEN)
    form_of: dict[str, list[Any]] = {"code": ["-c", SEEN], "module": ["-m", "seen"], "script": [tmp_path / "seen.py"]}
    environment = {**os.environ, "SAID": "é"}
    del environment["TO_GO"]
    if form == "code":
        environment.pop("PYTHONUNBUFFERED", None)
    options = {"env": environment, "cwd": tmp_path, "start_new_session": True}
    fresh, forked = both(*form_of[form], "a b", input="né\n", text=True, **options)
    assert vars(forked) == vars(fresh)
    assert (fresh.returncode, fresh.stderr) == (3, "é\n")


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit('no')",
        "raise KeyboardInterrupt",
        "import os; os.abort()",
        "import atexit, os; atexit.register(os.write, 1, b'end'); print('start', flush=True)",
        "import threading; threading.Timer(0.05, print, ['later']).start()",
        "import multiprocessing; p = multiprocessing.get_context('spawn').Process(target=print); p.start(); p.join()",
    ],
)
def test_it_ends_the_same(code: str) -> None:
    fresh, forked = both("-c", code)
    assert (forked.returncode, forked.stdout) == (fresh.returncode, fresh.stdout)
    assert forked.stderr.splitlines()[-1:] == fresh.stderr.splitlines()[-1:]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_it_and_nothing_else(sent: signal.Signals) -> None:
    command = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(100)"]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    with programs.Popen(command, **options) as first, programs.Popen(command, **options) as second:
        assert first.stdout
        assert second.stdout
        assert first.stdout.read(2) == second.stdout.read(2) == b"1\n"
        os.killpg(first.pid, sent)
        _, said = first.communicate()
        assert (first.returncode, b"KeyboardInterrupt" in said) == (-sent, sent == signal.SIGINT)
        assert second.poll() is None
        second.kill()


def test_it_is_killed_when_its_time_is_over() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run([sys.executable, "-c", "import time; time.sleep(100)"], timeout=0.1)


def test_hiddenstate_is_a_program() -> None:
    command = Path(sys.executable).with_name("hiddenstate")
    assert programs.run([command, "--version"], capture_output=True, check=True).stdout.startswith(b"hiddenstate ")


@pytest.mark.parametrize(
    ("command", "options", "what"),
    [
        (["ls", "-l"], {}, "ls"),
        ([sys.executable, "-S", "-c", ""], {}, "-S"),
        ([sys.executable, "-c", ""], {"env": {**os.environ, "HIDDENSTATE_ISA": "avx2"}}, "HIDDENSTATE_ISA"),
        ([sys.executable, "-c", ""], {"env": {**os.environ, "OMP_NUM_THREADS": "7"}}, "OMP_NUM_THREADS"),
        ([sys.executable, "-c", ""], {"preexec_fn": os.getpid}, "preexec_fn"),
    ],
)
def test_what_cannot_be_served_is_refused(command: list[str], options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"{what}: this needs a fresh interpreter"):
        programs.run(command, **options)
