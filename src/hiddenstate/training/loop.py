"""The training loop, until the dev score stops improving; resumed runs end with the same weights."""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from hiddenstate.base.reading import reading
from hiddenstate.base.scoped import Block, lasting
from hiddenstate.errors import ArgumentError
from hiddenstate.training.checkpoint import CHECKPOINT, SETTINGS, Checkpoint, Position, RunFolder
from hiddenstate.training.settings import TrainConfig
from hiddenstate.training.task import Epoch, Item, OnProgress, Step, Task, best_epoch

# The state that each optimizer keeps for a parameter.
_REMEMBERED: Mapping[type[Optimizer], tuple[str, ...]] = {
    AdamW: ("step", "exp_avg", "exp_avg_sq"),
    SGD: ("momentum_buffer",),
}

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds after which a second Ctrl-C counts, because launchers pass on the first one, which the process has, too.
AGAIN = 1.0


class Stop:
    """Whether a run has been asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Stop the run after this batch; a second Ctrl-C stops at once (losing the work since the last checkpoint)."""
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since >= AGAIN:
            raise KeyboardInterrupt


@contextmanager
def stopping() -> Iterator[Stop]:
    """Return a block in which Ctrl-C and a termination signal request a stop; only the main thread gets these."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    with lasting(lambda: _handle(dict.fromkeys(_SIGNALS, stop.ask)), lambda: _handle(before)):
        yield stop


def _handle(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def fit(
    task: Task[Item],
    run: RunFolder,
    out: Path,
    *,
    resume: bool = False,
    on_progress: OnProgress = lambda progress: None,
) -> tuple[Epoch, ...]:
    """Train until the last epoch, or until the best score is ``patience`` epochs old.

    Ctrl-C ends training after the current batch and writes a checkpoint. The state of torch's global random generators
    is restored afterwards.

    Args:
        task: the model and its data.
        run: the existing folder for checkpoints.
        out: the folder for the model of the best epoch so far.
        resume: whether to continue from the last checkpoint, if there is one.
        on_progress: called after every batch with a `Step`, and after every epoch with an `Epoch`; a KeyboardInterrupt
            that it raises ends training like Ctrl-C.

    Returns:
        Every epoch, in order.

    Raises:
        KeyboardInterrupt: the run was stopped.
        RunInUseError: someone else is training in the folder.
        ArgumentError: the loss became NaN or infinite, or the checkpoint is for other data or incompatible settings.
        FileFormatError: the checkpoint is damaged.
        FileWriteError: a file cannot be written.
    """
    device = torch.device("cpu")
    if task.config.device == "auto":
        device = torch.accelerator.current_accelerator(check_available=True) or device
    devices, kind = ([], "cuda") if device.type == "cpu" else ([device], device.type)
    with run.held(), torch.random.fork_rng(devices, device_type=kind), stopping() as stop:
        loop = _Loop(task, run, out, device, on_progress, stop)
        if resume:
            loop.resume()
        return loop.go()


class _Loop(Generic[Item]):
    """The state of one run."""

    def __init__(
        self, task: Task[Item], run: RunFolder, out: Path, device: torch.device, on_progress: OnProgress, stop: Stop
    ) -> None:
        self.task, self.run, self.out, self.device = task, run, out, device
        self.on_progress, self.stop, self.config = on_progress, stop, task.config
        task.model.to(device)
        self.optimizer = _optimizer(task.model, self.config)
        self.average = Average(task.model, self.config.average)
        self.position = Position()
        self.saved = time.perf_counter()

    def go(self) -> tuple[Epoch, ...]:
        while not self.is_over:
            self.epoch()
        return tuple(self.position.history)

    @property
    def is_over(self) -> bool:
        history = self.position.history
        waited = len(history) - best_epoch(history).last.epoch if history else 0
        return self.position.epoch > self.config.epochs or waited >= self.config.patience

    def epoch(self) -> None:
        plan = self.task.plan(self.position.epoch)
        if self.position.batch == 0:
            self.task.load_state({})
        self.task.model.train()
        for item in plan[self.position.batch :]:
            self.step(item, len(plan))
            self.tell(self.last)
            self.save_or_stop()
        self.end_epoch()

    def step(self, item: Item, batches: int) -> None:
        """Learn from one batch."""
        start, position = time.perf_counter(), self.position
        finished = (position.epoch - 1 + position.batch / batches) / self.config.epochs
        position.rate = learning_rate(self.config, position.step, finished, position.history)
        self.draw_from(_seed(self.config.seed, position.step))
        position.loss, count = self.learn(item)
        position.batch, position.step, position.units = position.batch + 1, position.step + 1, position.units + count
        position.loss_sum += position.loss * count
        self.average.update(position.step)
        position.seconds += time.perf_counter() - start

    def draw_from(self, seed: int) -> None:
        """Seed torch; `torch.manual_seed` also writes a traceback for each kind of device that is not in use."""
        torch.default_generator.manual_seed(seed) if self.device.type == "cpu" else torch.manual_seed(seed)

    def learn(self, item: Item) -> tuple[float, int]:
        """Take one gradient step; return the mean loss before it and the number of units."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss = self.task.loss(item)
        value = (loss.mean if loss.reported is None else loss.reported).item()
        if not math.isfinite(value):
            raise ArgumentError(
                f"training diverged: loss {value} in epoch {self.position.epoch}; lower the learning rate"
            )
        self.optimizer.zero_grad()
        torch.autograd.backward(loss.mean)
        (group,) = self.optimizer.param_groups
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(group["params"], self.config.clip_norm)
        group["lr"] = self.position.rate
        self.optimizer.step()
        return value, loss.count

    @property
    def last(self) -> Step:
        """The last step."""
        position, total = self.position, self.task.size(self.position.epoch)
        speed = position.units / position.seconds if position.seconds else 0.0
        left = total - position.units + total * (self.config.epochs - position.epoch)
        return Step(
            epoch=position.epoch,
            step=position.step,
            units=position.units,
            units_total=total,
            loss=position.loss_sum / max(position.units, 1),
            batch_loss=position.loss,
            learning_rate=position.rate,
            units_per_second=speed,
            seconds_left=left / speed if speed else 0.0,
        )

    def end_epoch(self) -> None:
        """Evaluate, save the model if it is the best so far, and go to the next epoch."""
        last, history = self.last, self.position.history
        with self.average.used():
            score = self.task.evaluate()
            best = best_epoch(history).score.value if history else math.nan
            is_better = not history or (score.value > best if self.task.higher_is_better else score.value < best)
            history.append(Epoch(last, score, is_better))
            if history[-1].is_best:
                self.task.save_model(self.out, history)
        self.position.next_epoch()
        self.tell(history[-1])
        self.save_or_stop(due=True)

    def tell(self, progress: Step | Epoch) -> None:
        """Write metrics, and call the user's function."""
        if isinstance(progress, Epoch):
            self.run.log("epoch", {**asdict(progress.last), **asdict(progress.score), "is_best": progress.is_best})
        elif progress.step % self.config.log_steps == 0:
            self.run.log("step", asdict(progress))
        try:
            self.on_progress(progress)
        except KeyboardInterrupt:
            self.stop.asked = True

    def save_or_stop(self, *, due: bool = False) -> None:
        """Write a checkpoint when it is due or the run should stop."""
        steps, minutes = self.config.checkpoint_steps, self.config.checkpoint_minutes
        due = due or bool(steps and self.position.step % steps == 0)
        due = due or bool(minutes and (time.perf_counter() - self.saved) / 60 >= minutes)
        is_stopped = self.stop.asked
        if due or is_stopped:
            self.write()
            self.saved = time.perf_counter()
        if is_stopped:
            raise KeyboardInterrupt(f"training was stopped; its last checkpoint is in {self.run.path}")

    def write(self) -> None:
        """Write a checkpoint."""
        parts: dict[str, Mapping[str, Tensor]] = {
            "model": self.task.model.state_dict(),
            "optimizer": _optimizer_tensors(self.optimizer),
            "average": self.average.mean,
            "carried": self.task.state(),
        }
        tensors = {f"{part}.{name}": value for part, held in parts.items() for name, value in held.items()}
        settings = self.config.fixed()
        checkpoint = Checkpoint(self.position, self.task.fingerprint, tensors, settings)
        self.run.write(checkpoint, finished=self.is_over)

    def resume(self) -> None:
        """Go back to the last checkpoint, if there is one."""
        checkpoint = self.run.read(self.task.fingerprint, self.config.fixed())
        if checkpoint is not None:
            with reading(self.run.path / CHECKPOINT):
                self.take(checkpoint)

    def take(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint."""
        try:
            self.task.model.load_state_dict(checkpoint.part("model"))
            _load_tensors(self.optimizer, checkpoint.part("optimizer"))
            self.average.load(checkpoint.part("average"))
        except (KeyError, RuntimeError, ValueError) as error:
            raise ArgumentError(
                f"the checkpoint in {self.run.path} does not fit the settings; undo the changes made to {SETTINGS} "
                "since the run began, except those of epochs and patience"
            ) from error
        self.task.load_state(checkpoint.part("carried"))
        self.position = checkpoint.position


def _optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return SGD(parameters, rate, momentum=config.momentum, weight_decay=decay, fused=True)
    return AdamW(parameters, rate, betas=(config.beta1, config.beta2), weight_decay=decay, fused=True)


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's state; each name is a parameter's number, a dot, and the entry's name."""
    state: dict[int, dict[str, Tensor | None]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": value for number, held in state.items() for name, value in held.items() if value is not None
    }


def _load_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        if name not in _REMEMBERED[type(optimizer)]:
            raise KeyError(name)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _seed(seed: int, step: int) -> int:
    """Mix two numbers into the seed of one batch."""
    digest = hashlib.blake2b(f"{seed} {step} 0".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1  # torch accepts 63 bits


def learning_rate(config: TrainConfig, step: int, finished: float, history: Sequence[Epoch]) -> float:
    """Return the learning rate of the next batch, when ``step`` batches and this share of all epochs are finished.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=3)
    >>> [learning_rate(config, step, 0.0, ()) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    >>> round(learning_rate(config, 9, 0.5, ()), 6)
    0.5
    """
    rate = config.learning_rate * min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "cosine":
        return rate * (1 + math.cos(math.pi * finished)) / 2
    if config.schedule == "plateau":
        return rate * config.plateau_factor ** plateaus(history, config.plateau_patience)
    return rate


def plateaus(history: Sequence[Epoch], patience: int) -> int:
    """Count how often the score did not improve on its best for ``patience`` epochs, restarting the count each time."""
    count = waited = 0
    for epoch in history:
        waited = 0 if epoch.is_best else waited + 1
        if waited == patience:
            count, waited = count + 1, 0
    return count


class Average:
    """The mean, updated after each step; early steps count more, so that little remains of the initial weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._weights = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
        self._decay = decay
        self.mean = {name: value.clone() for name, value in self._weights.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights after step ``step`` (from 1)."""
        if self.mean:
            weight = 1 - min(self._decay, step / (step + 10))
            torch._foreach_lerp_(list(self.mean.values()), list(self._weights.values()), weight)

    def used(self) -> Block:
        """Return a context manager that temporarily replaces the weights with their mean."""
        last = {name: self._weights[name].clone() for name in self.mean}
        return lasting(partial(self._put, self.mean), partial(self._put, last))

    def load(self, mean: Mapping[str, Tensor]) -> None:
        """Restore a mean."""
        for name, value in self.mean.items():
            value.copy_(mean[name])

    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._weights[name].copy_(value)
