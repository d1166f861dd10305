"""Shows the progress of a training run on the terminal."""

from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn

from hiddenstate.cli.terminal import console
from hiddenstate.training.machine import is_leader
from hiddenstate.training.task import Epoch, Step


class Display:
    """A line for each epoch and, on a terminal, a bar within it. A context manager."""

    def __init__(self, epochs: int, unit: str) -> None:
        self._epochs, self._unit = epochs, unit
        self._console = console()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
            transient=True,
            disable=not (self._console.is_terminal and is_leader()),
        )
        self._task = self._bar.add_task("", epoch=1, epochs=epochs, text="")
        self._score = ""

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Step | Epoch) -> None:
        """Receive a progress report."""
        if isinstance(progress, Step):
            text = f"{self._line(progress)}{self._score}  {_clock(progress.seconds_left)} left"
            done, total = progress.units, progress.units_total
            self._bar.update(self._task, completed=done, total=total, epoch=progress.epoch, text=text)
            return
        self._score = f"  dev {progress.score.text}"
        line = f"epoch {progress.last.epoch}/{self._epochs}  {self._line(progress.last)}{self._score}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _line(self, step: Step) -> str:
        return f"loss {step.loss:.4f}  {step.units_per_second:,.0f} {self._unit}/s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
