"""The machine of a run: a device, precision and processes; accelerate finds all but one CPU process."""

import atexit
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hiddenstate.errors import HiddenStateError, MissingDependencyError
from hiddenstate.training.settings import TrainConfig

V = TypeVar("V")
M = TypeVar("M", bound="RunMachine")


class RunMachine:
    """One process on the CPU, of one; its process group ends with the block of `detect_machine`."""

    def __init__(self, config: TrainConfig) -> None:
        self.device = torch.device("cpu")
        self.rank, self.ranks = 0, 1
        self._precision = config.precision

    @property
    def leads(self) -> bool:
        """Whether this is the process that evaluates and writes."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context manager that computes in the config's precision."""
        return torch.autocast(self.device.type, torch.bfloat16) if self._precision == "bf16" else nullcontext()

    def seed(self, number: int) -> None:
        """Seed this process; `torch.manual_seed` also writes a traceback for each kind of device that is not in use."""
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(number)
        else:
            torch.manual_seed(number)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Add up numbers over all processes."""
        return list(numbers)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up gradients over all processes; a parameter without one counts as zero."""

    def gather(self, value: V) -> list[V]:
        """Collect a value from each process, in the order of ranks."""
        return [value]

    def once(self, work: Callable[[], V]) -> V:
        """Do some work in the leading process, and return its result, or raise its error, in all processes."""
        return work()

    def __enter__(self: M) -> M:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the process group, if one was created."""


class _Several(RunMachine):
    """One of several processes, or one on another device, through accelerate."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        try:
            from accelerate import PartialState
            from accelerate.utils import broadcast_object_list, gather_object, reduce
        except ImportError as error:
            raise MissingDependencyError(
                "several processes, and devices other than the CPU, need accelerate, which is not installed; install "
                "it with: pip install 'hiddenstate[train]'"
            ) from error
        state, self._made_group = _joined(lambda: PartialState(cpu=config.device == "cpu"))
        self._forget = PartialState._reset_state
        self.device, self.rank, self.ranks = state.device, state.process_index, state.num_processes
        self._reduce, self._gather, self._broadcast = reduce, gather_object, broadcast_object_list

    def sum(self, numbers: Sequence[float]) -> list[float]:
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        total: Tensor = self._reduce(torch.tensor(numbers, dtype=dtype, device=self.device), "sum")
        return total.tolist()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.ranks == 1:
            return
        gradients = []
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            gradients.append(parameter.grad)
        total = self._reduce(torch.cat([gradient.flatten() for gradient in gradients]), "sum")
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def gather(self, value: V) -> list[V]:
        return self._gather([value])

    def once(self, work: Callable[[], V]) -> V:
        result, failure = None, None
        try:
            result = work() if self.leads else None
        except Exception as error:
            failure = error
        # Processes that wait for a process that has ended would fail with a gloo error.
        result, text = self._broadcast([result, None if failure is None else f"{failure}"])
        if failure is not None:
            raise failure
        if text is not None:
            raise HiddenStateError(f"the first process failed: {text}")
        return result

    def __exit__(self, *_error: object) -> None:
        if self._made_group and torch.distributed.is_initialized():
            _leave()
            self._forget()  # otherwise accelerate would keep using the old group


def _joined(join: Callable[[], V]) -> tuple[V, bool]:
    """Join the other processes; return whether that created a process group, to be destroyed before Python ends."""
    distributed = torch.distributed
    if not distributed.is_available() or distributed.is_initialized():
        return join(), False
    # The module's functions have the current group as a default argument, and so would keep it for good.
    importlib.import_module("torch.distributed.nn")
    if _groups:
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        # Entries of earlier groups in the store would confuse this group.
        store, rank, ranks = next(rendezvous("env://"))
        name = f"hiddenstate, group {len(_groups)}"
        store = PrefixStore(name, store)
        distributed.init_process_group(_groups[-1], store=store, rank=rank, world_size=ranks)
    state = join()
    if distributed.is_initialized():
        if not _groups:
            atexit.register(_leave)
        _groups.append(distributed.get_backend())
    return state, distributed.is_initialized()


# The backends of the process groups that this process created, in order.
_groups: list[str] = []


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def is_leader() -> bool:
    """Whether this is the only process, or the one started by ``torchrun`` that may write and print."""
    return int(os.environ.get("RANK", "0")) == 0


def detect_machine(config: TrainConfig) -> RunMachine:
    """Return the machine of this process, according to ``torchrun`` and the config.

    Raises:
        MissingDependencyError: accelerate is needed and is not installed.
    """
    plain = config.device == "cpu" and int(os.environ.get("WORLD_SIZE", "1")) == 1
    return RunMachine(config) if plain else _Several(config)
