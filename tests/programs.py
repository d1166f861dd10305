"""Start Python programs as `subprocess` does, without importing torch and hiddenstate anew, which takes seconds each.

One process imports them, and forks for each program. Tests of imports, of memory, or of variables that are read at an
import need a fresh interpreter, and `subprocess`. Elsewhere than on Linux every program gets one.
"""

import atexit
import builtins
import contextlib
import ctypes
import functools
import gc
import importlib.util
import inspect
import io
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

# Variables that Python, torch, the libraries under it or hiddenstate may read when they start. Four of them are served.
READ_AT_START = re.compile("HIDDENSTATE_|PYTHON|TORCH|PYTORCH|ATEN|OMP_|GOMP_|KMP_|MKL_|OPENBLAS_|LD_|LC_|LANG|MALLOC_")
# torch and scikit-learn set the others, for those they start.
SERVED = ("PYTHONUNBUFFERED", "TORCHINDUCTOR_CACHE_DIR", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
OUTSIDE = dict(os.environ)
ENVIRONMENT = {**OUTSIDE, "OMP_NUM_THREADS": "1"}
SET_CHILD_SUBREAPER = 36  # of prctl: orphans become children of this process
LONGEST = 2**18  # a message; sending more fails


@functools.cache
def server() -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """The process that forks, and a socket to it. It ends when nobody has the socket any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    atexit.register(process.wait, 10)
    atexit.register(ours.close)
    return ours, process


class Popen(subprocess.Popen[Any]):
    """`subprocess.Popen` of `[sys.executable, ...]` with `-c`, `-m` or a script, or of `[".../hiddenstate", ...]`."""

    def _execute_child(self, *given: Any) -> None:
        start: Any = super()._execute_child  # type: ignore[misc]
        options = dict(zip(inspect.signature(start).parameters, given, strict=True))
        environment = dict(os.environ if options["env"] is None else options["env"])
        refuse_what_needs_a_fresh_interpreter(options, environment)
        if sys.platform != "linux":
            start(*given)
            return
        python, *arguments = map(os.fsdecode, options["args"])
        request = {
            "arguments": arguments if python == sys.executable else [python, *arguments],
            "environment": environment,
            "folder": os.fsdecode(options["cwd"] or Path.cwd()),
            "new_session": options["start_new_session"],
        }
        pipes = {name: given[k] for k, name in enumerate(options) if re.fullmatch("p2c.*|c2p.*|err(read|write)", name)}
        streams = [pipes["p2cread"], pipes["c2pwrite"], pipes["errwrite"]]
        connection, _ = server()
        adopt = functools.partial(ctypes.CDLL(None).prctl, SET_CHILD_SUBREAPER)
        adopt(1)
        try:
            inherited = [number if stream == -1 else stream for number, stream in enumerate(streams)]
            socket.send_fds(connection, [json.dumps(request).encode()], inherited)
            self.pid = int(connection.recv(LONGEST))
            assert connection.recv(LONGEST) == b"adopted"
        finally:
            adopt(0)
            self._close_pipe_fds(*pipes.values())  # type: ignore[attr-defined]
        self._child_created = True


def refuse_what_needs_a_fresh_interpreter(options: dict[str, Any], environment: dict[str, str]) -> None:
    python, first, *_ = map(os.fsdecode, options["args"])
    if python == sys.executable:
        refused = [first] if first[:1] == "-" and first not in ("-c", "-m") else []
    else:
        refused = [python] if Path(python) != Path(sys.executable).with_name("hiddenstate") else []
    refused += [name for name in ("executable", "preexec_fn", "shell", "pass_fds") if options[name]]
    refused += [
        name
        for name in sorted({*OUTSIDE, *environment}.difference(SERVED))
        if READ_AT_START.match(name) and environment.get(name) not in (OUTSIDE.get(name), ENVIRONMENT.get(name))
    ]
    if refused:
        raise ValueError(f"{', '.join(refused)}: this needs a fresh interpreter, started by subprocess")


if TYPE_CHECKING:
    from subprocess import run as run
else:  # the function of `subprocess`, with the `Popen` from here
    run = FunctionType(subprocess.run.__code__, {**vars(subprocess), "Popen": Popen})
    run.__kwdefaults__ = subprocess.run.__kwdefaults__


def next_program(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Returns its request in a program's process; in that which forks, None at the end."""
    while True:
        message, streams, _, _ = socket.recv_fds(connection, LONGEST, 3)
        if not message:
            return None
        parent = os.fork()
        if not parent:
            parent, program = os.getpid(), os.fork()
            if program:
                connection.send(str(program).encode())
                os._exit(0)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            connection.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            while os.getppid() == parent:
                os.sched_yield()
            request: dict[str, Any] = json.loads(message)
            return request
        os.waitpid(parent, 0)
        connection.send(b"adopted")
        for stream in streams:
            os.close(stream)


def become(program: dict[str, Any]) -> None:
    """Make this process what Python is when it starts a program, and run that."""
    if program["new_session"]:
        os.setsid()
    os.chdir(program["folder"])
    os.environ.clear()
    os.environ.update(program["environment"])
    tempfile.tempdir = None  # or one of another environment is kept
    at_once = "PYTHONUNBUFFERED" in os.environ
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old, file = getattr(sys, name), io.FileIO(number, "w" if number else "r", closefd=False)
        stream = io.TextIOWrapper((io.BufferedWriter if number else io.BufferedReader)(file), old.encoding, old.errors)
        by_line = file.isatty() or name == "stderr"
        stream.reconfigure(line_buffering=by_line and not at_once, write_through=at_once)
        vars(sys).update({name: stream, f"__{name}__": stream})
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    first, *rest = program["arguments"]
    if first == "-m":
        sys.argv, sys.path[0] = rest, str(Path.cwd())
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = [first, *rest], str(Path(first).resolve().parent)
        main.__file__ = first
        exec(compile(Path(first).read_bytes(), first, "exec"), main.__dict__)


if __name__ == "__main__":
    import hiddenstate as hs
    import hiddenstate.cli

    for name in hs.__all__:  # type: ignore[attr-defined]
        getattr(hs, name)  # loads what it needs, torch first
    with contextlib.suppress(ImportError):
        importlib.import_module("pydantic.type_adapter")  # typer loads it, if it has it
    if importlib.util.find_spec("triton") is None:  # with Triton, which it loads, programs end with messages of its own
        importlib.import_module("torch._dynamo")  # training loads it
    gc.collect()
    gc.freeze()  # or each program would look through all of it when it ends, and so copy it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, for the tests' process and the programs
    if request := next_program(socket.socket(fileno=int(sys.argv[1]))):
        become(request)
