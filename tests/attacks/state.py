"""Attacks on state that calls share: weights written between calls, interrupts, threads, forks, and memory."""

import copy
import ctypes
import faulthandler
import gc
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

import hiddenstate as hs
import test_door_hazards as doors
import test_interrupts
import test_thread_stress as stress
from attacks import allocations
from attacks.bits import check_bits
from attacks.calls import check_call
from attacks.indexes import check_index, check_index_kills
from attacks.processes import IN_MEMORY
from hiddenstate.cells.kinds import CELLS
from hiddenstate.interop.build import build_cell
from hiddenstate.nn.rnn import new_layer
from hiddenstate.structure.sizes import Sizes
from interrupts import interrupted_by_a_timer, interrupted_everywhere
from support import assert_all_close, gradients

# Writes that torch counts; the others need `repack`.
COUNTED: dict[str, Callable[[Tensor], object]] = {
    "mul_": lambda weight: weight.mul_(-1),
    "copy_": lambda weight: weight.copy_(weight.flip(0)),
    "a row": lambda weight: weight[0].zero_(),
    "an index": lambda weight: weight.__setitem__(-1, 1),
    "a view": lambda weight: weight.flatten()[1:].sign_(),
    "out=": lambda weight: torch.clamp(weight, -1, 0, out=weight),
    "a loop": lambda weight: torch._foreach_neg_([weight]),
}
UNCOUNTED: dict[str, Callable[[Tensor], object]] = {
    "data": lambda weight: weight.data.neg_(),
    "numpy": lambda weight: weight.detach().view(torch.uint8).numpy().__setitem__(..., 0),
    "dlpack": lambda weight: from_dlpack(weight.detach()).neg_(),
    "storage": lambda weight: torch.empty(0, dtype=weight.dtype).set_(weight.untyped_storage()).neg_(),
}
WRITES, FORKS = 20, 50  # of one attempt


@torch.no_grad()
def check_writes(seed: int) -> int:
    """Write weights and inputs in place between calls and steps; return the number of writes."""
    draw = random.Random(f"writes {seed}")
    torch.manual_seed(seed)
    kind, is_cell = CELLS[draw.choice(list(CELLS))], draw.random() < 0.25
    C, H = draw.choice(((4, 3), (17, 33), (40, 64)))
    sizes, options = Sizes(C, H, 1 if is_cell else draw.randint(1, 2), cell=kind.name), dict[str, Any]()
    if is_cell or draw.random() < 0.5:
        options["dtype"] = draw.choice((torch.float32, torch.float64, torch.bfloat16))
    else:
        options["weights"] = "int8"

    def new() -> Any:
        made = new_layer(sizes, **options).eval()
        return build_cell(made) if is_cell else made

    module = new()
    x = torch.randn(draw.randint(1, 5), draw.choice((1, 3)), C, dtype=options.get("dtype"))
    state = kind.as_given([torch.zeros(x.shape[1], H, dtype=x.dtype)] * len(kind.carried))
    stream = None if is_cell else module.stream(batch=x.shape[1])
    with nullcontext() if is_cell or draw.random() < 0.5 else hs.constant_weights(module):
        for _ in range(WRITES):
            what = write(draw, module, x)
            fresh = new()
            fresh.load_state_dict(module.state_dict())
            if stream is None:
                state, *found = module(x[0], state), (module(x[0], state), fresh(x[0], state))
            else:
                other = fresh.stream(batch=x.shape[1])
                if x.dtype is torch.bfloat16:  # a stream keeps its cell state in float32 until it is set
                    stream.state = stream.state
                other.state = stream.state
                found = [(module(x), fresh(x)), (stream.step(x[0]), other.step(x[0])), (stream.state, other.state)]
                state = stream.state
            for got, want in found:
                for one, right in zip(leaves(got), leaves(want), strict=True):
                    assert torch.equal(one, right), f"{module}, {x.dtype}, after {what}"
            if bool(leaves(state)[-1].abs().max() > 100) or draw.random() < 0.2:
                state = kind.as_given([0 * part.nan_to_num() for part in leaves(state)])
                if stream is not None:
                    stream.reset()
    return WRITES


def leaves(value: Any) -> list[Tensor]:
    return torch.utils._pytree.tree_leaves(value)


def write(draw: random.Random, module: Any, x: Tensor) -> str:
    """Write the input, or a weight in one of many ways; return what was written."""
    stored = module._buffers if getattr(module, "weight_format", "float") == "int8" else module._parameters
    name, weight = draw.choice([(name, value) for name, value in stored.items() if value is not None])
    kinds = ["input", "state dict", "new tensor", *UNCOUNTED]
    # Integers are neither clamped to themselves nor have a sign that counts; their scales stay positive.
    kinds += list(COUNTED) if stored is module._parameters else ["mul_", "copy_", "a row"]
    kind = draw.choice(kinds)
    if stored is module._buffers and weight.is_floating_point() and "bias" not in name:
        kind = "copy_"
    if kind == "input":
        draw.choice(list((COUNTED | UNCOUNTED).values()))(x)
    elif kind == "state dict":
        state = {key: value.flip(0) for key, value in module.state_dict().items()}
        module.load_state_dict(state)
    elif kind == "new tensor":
        new = weight.flip(0)
        setattr(module, name, nn.Parameter(new) if isinstance(weight, nn.Parameter) else new)
    else:
        (COUNTED | UNCOUNTED)[kind](weight)
        if kind in UNCOUNTED:
            hs.repack(module)
    return f"{kind} of {name}"


def check_writes_before_gradients(seed: int) -> int:
    """Overwrite what a call read before its gradient, which must be right, or rejected like torch's."""
    draw = random.Random(f"gradients {seed}")
    torch.manual_seed(seed)
    is_cell, dtype = draw.random() < 0.4, draw.choice((torch.float32, torch.float64))
    layers, sides = (1, False) if is_cell else (draw.randint(1, 2), draw.random() < 0.5)
    layer = new_layer(Sizes(4, 3, layers, bidirectional=sides, cell=draw.choice(list(CELLS))), dtype=dtype)
    layer.recompute_gates = draw.random() < 0.3
    x = torch.randn(5, 2, 4, dtype=dtype, requires_grad=True)
    cell = build_cell(layer) if is_cell else None
    read = {"x": x, **dict((cell or layer).named_parameters())}
    name, writes = draw.choice(list(read)), COUNTED[draw.choice(list(COUNTED))]
    before = draw.randint(1, 5)  # how many steps of a cell come before the write

    def run() -> Tensor:
        return layer(x)[0] if cell is None else torch.stack(steps_of(cell, x))

    want = gradients([run()], list(read.values()))
    if cell is not None and before < 5 and name != "x":
        return check_write_between_steps(cell, x, before, name, writes)
    out = run()
    with torch.no_grad():
        writes(read[name])
    got = gradients_unless_refused([out], list(read.values()))
    assert got is None or all(map(torch.equal, got, want)), f"{cell or layer}: gradients after {name} was written"
    return 1


def gradients_unless_refused(outputs: list[Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...] | None:
    try:
        return gradients(outputs, inputs)
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return None


def steps_of(cell: Any, x: Tensor, weights: Callable[[int], dict[str, Tensor]] | None = None) -> list[Tensor]:
    """The hidden states of a cell's steps; ``weights`` returns those of a step."""
    state, found = None, []
    for t in range(len(x)):  # iterating would make views that torch lets no one write
        state = cell(x[t], state) if weights is None else torch.func.functional_call(cell, weights(t), (x[t], state))
        found.append(leaves(state)[0])
    return found


def check_write_between_steps(cell: Any, x: Tensor, at: int, name: str, writes: Callable[[Tensor], object]) -> int:
    """Overwrite a weight after some steps: gradients are torch's with two sets of weights, or refused."""
    first, later = ({key: p.detach().clone().requires_grad_() for key, p in cell.named_parameters()} for _ in range(2))
    with torch.no_grad():
        writes(later[name])
    theirs = cell.to_torch() if hasattr(cell, "_torch") else copy.deepcopy(cell)
    outs = steps_of(theirs, x, lambda t: first if t < at else later)
    by_x, *by_weights = gradients(outs, [x, *first.values(), *later.values()])
    count = len(first)
    want = [by_x, *map(torch.add, by_weights[:count], by_weights[count:])]

    def written(t: int) -> dict[str, Tensor]:
        if t == at:
            with torch.no_grad():
                writes(cell.get_parameter(name))
        return {}

    got = gradients_unless_refused(steps_of(cell, x, written), [x, *cell.parameters()])
    assert_all_close(got or want, want, f"{cell}: gradients after {name} was written before step {at}", 10)
    return 1


def check_interrupts(number: int) -> int:
    """Interrupt a hundred times, in all kinds of work and in a stream's steps; return how many interrupts were
    raised."""
    lstm, x = test_interrupts.LSTM, test_interrupts.X
    stream = lstm.stream(batch=2)
    states = [(0, *stream.state)]
    moving = stream.fork()

    def advance() -> None:
        nonlocal stream
        stream = lstm.stream(batch=2)
        for k in range(1000):
            stream.step(x[k % len(x)])

    def check() -> None:
        torch.set_grad_enabled(True)  # torch's own no_grad() may be interrupted as it ends
        test_interrupts.is_untouched()
        while len(states) <= stream.t:
            moving.step(x[moving.t % len(x)])
            states.append((moving.t, *moving.state))
        assert test_interrupts.is_same((stream.t, *stream.state), states[stream.t])
        stream.step(x[0])  # not locked
        stream.reset()

    works = [advance, *(work for work, _ in test_interrupts.WORK.values())]
    return interrupted_by_a_timer(works, range(100 * number, 100 * (number + 1)), check)


def check_injected(number: int) -> int:
    """Interrupt one kind of work at each of its lines; return the number of lines."""
    works = [work for work, _ in test_interrupts.WORK.values()] + list(doors.CALLS_OF_TOOLS.values())
    work = works[number % len(works)]
    work()

    def check(_: BaseException) -> None:
        torch.set_grad_enabled(True)
        test_interrupts.is_untouched()

    return interrupted_everywhere(work, check, 5, may_return=work is doors.CALLS_OF_TOOLS["sweep"])


def check_threads(number: int) -> int:
    """Let threads work on one LSTM; return how many operations were compared."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        return stress.run_in_threads(500, number)
    finally:
        sys.setswitchinterval(before)


def check_forks(number: int) -> int:
    """Fork while other threads work; the children get the same bits, and do not hang. Returns their number."""
    wants = {work: work() for work in stress.WORK}
    is_over, draw = threading.Event(), random.Random(number)

    def work_on(works: list[Callable[[], Any]]) -> None:
        while not is_over.is_set():
            for work in works:
                work()

    others = [test_interrupts.accelerated, test_interrupts.edited_in_a_model]
    threads = [threading.Thread(target=work_on, args=[works]) for works in (list(wants), others)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(FORKS):
            time.sleep(draw.random() * 1e-3)
            child = os.fork()
            if not child:
                signal.alarm(120)  # ends a child that hangs
                is_same = all(all(map(torch.equal, work(), want)) for work, want in wants.items())
                test_interrupts.accelerated()
                os._exit(0 if is_same else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status == 0, f"a child ended with {status}"
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    return FORKS


class _Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    ]


def memory_in_use() -> tuple[int, int]:
    """Bytes held by C and C++, and blocks held by Python."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo
    found = libc.mallinfo2()
    return found.uordblks + found.hblkhd, sys.getallocatedblocks()


LSTM, X, TORCHS = test_interrupts.LSTM, test_interrupts.X, nn.Sequential(nn.LSTM(4, 3))
STREAM = LSTM.stream(batch=2)


def refused() -> None:
    for argument in (torch.randn(5, 2, 3), torch.randn(5, 2, 4, 1), None, X.long()):
        try:
            LSTM(argument)
        except hs.HiddenStateError:
            continue
        raise AssertionError("it was not refused")


def in_a_thread() -> None:
    thread = threading.Thread(target=lambda: LSTM(X))
    thread.start()
    thread.join()


def joined_and_left() -> None:
    stream = STREAM.fork()
    stream.join()
    stream.leave(0)
    stream.step(X[0, :1], rows=[1])


def saved(save: Callable[[Any], Any], load: Callable[[Any], Any]) -> None:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        save(f"{folder}/saved")
        load(f"{folder}/saved")


# Work that must not hold more memory afterwards than before.
LOOPS: dict[str, Callable[[], object]] = {
    **{work.__name__: work for work in stress.WORK},
    **{name: work for name, (work, _) in test_interrupts.WORK.items()},
    **doors.CALLS_OF_TOOLS,
    "refused": refused,
    "in a thread": in_a_thread,
    "rows of a stream": joined_and_left,
    "a new LSTM": lambda: hs.LSTM(40, 64)(torch.zeros(2, 1, 40)),
    "a new int8 LSTM": lambda: hs.LSTM(40, 64).quantize(),
    "a copy": lambda: copy.deepcopy(LSTM),
    "a pickle": lambda: pickle.loads(pickle.dumps(LSTM)),
    "to torch and back": lambda: hs.from_torch(LSTM.to_torch()),
    "convert": lambda: hs.convert_back(hs.convert(TORCHS)),
    "repack": lambda: hs.repack(LSTM),
    "lengths": lambda: LSTM(X, lengths=[5, 0]),
    "resets": lambda: LSTM(X, reset=torch.ones(5, 2, dtype=torch.bool)),
    "a file of a trace": lambda: saved(LSTM.trace(X).save, hs.Trace.load),
    "a file of a stream": lambda: saved(STREAM.save, STREAM.load),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16)(LSTM)(X),
    "a message": lambda: str(LSTM.path(X)) + str(LSTM.structure()) + repr(hs.zero("l0.f")),
}


MOST_BYTES, MOST_BLOCKS = 8, 0.5  # each time


def check_memory(number: int) -> int:
    """Repeat one kind of work; return how often."""
    name = list(LOOPS)[number % len(LOOPS)]
    work, began, count = LOOPS[name], time.process_time(), 0
    for _ in range(20):
        work()
    grown: list[tuple[float, float]] = []
    # A leak recurs each time, while caches and the allocator's pages grow only at times, and ever less.
    while len(grown) < 4 or (len(grown) < 12 and not (grown[-1][0] < MOST_BYTES and grown[-1][1] < MOST_BLOCKS)):
        before, times = memory_in_use(), 0
        while times < 50 or (times < 5000 and time.process_time() - began < 0.25 * (len(grown) + 1)):
            work()
            times += 1
        after = memory_in_use()
        grown.append(((after[0] - before[0]) / times, (after[1] - before[1]) / times))
        count += times
    assert min(each[0] for each in grown) < MOST_BYTES, f"{name}: bytes each time {grown}"
    assert min(each[1] for each in grown) < MOST_BLOCKS, f"{name}: blocks each time {grown}"
    return count


def check_allocations(number: int) -> int:
    """Let each allocation of native code fail in turn, for a random LSTM; return how many failed."""
    with tempfile.TemporaryDirectory() as folder:
        done = allocations.run(allocations.compiled(Path(folder)), number)
    assert done.returncode == 0, done.stdout + done.stderr
    return sum(int(line.split()[-1]) for line in done.stdout.splitlines())


class Check(NamedTuple):
    """An attack: one attempt, by its number, which returns how many things it tried; a description of them; roughly how
    many."""

    attempt: Callable[[int], int]
    things: str
    each: int = 1


CHECKS = {
    "calls": Check(check_call, "comparisons of outputs or gradients"),
    "bits": Check(check_bits, "comparisons bit for bit"),
    "written": Check(check_writes, "writes in place", WRITES),
    "written-before-gradients": Check(check_writes_before_gradients, "writes before a gradient"),
    "interrupts": Check(check_interrupts, "interrupts by a timer", 100),
    "injected-interrupts": Check(check_injected, "interrupts at lines", 100),
    "threads": Check(check_threads, "operations of four threads", 100),
    "forks": Check(check_forks, "forks", FORKS),
    "allocations": Check(check_allocations, "allocations that failed", 350),
    "indexes": Check(check_index, "comparisons of indexes with NumPy", 10),
    "index-kills": Check(check_index_kills, "kills of a run that makes an index", 25),
    "memory": Check(check_memory, "repeats in loops", 20),
}
SECONDS = 300  # maximum seconds for one attempt, on a busy machine


def attack(name: str, first: int, count: int, folder: Path) -> None:
    """Attack this often; the outcome is written into ``folder / "at"``."""
    torch.set_num_threads(1)
    test_interrupts.THREADS = 1
    warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
    check, total, wrong = CHECKS[name], 0, 0
    attempts = range(first, first + -(-count // check.each))
    for k in attempts:
        (folder / "at").write_text(f"{name} {k}")
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            total += check.attempt(k)
        except Exception:
            wrong += 1
            print(f"{name} {k}", file=sys.stderr)
            traceback.print_exc()
    (folder / "at").write_text(f"{len(attempts)} attempts, {total:,} {check.things}, {wrong} wrong")
    if wrong:
        sys.exit(1)
