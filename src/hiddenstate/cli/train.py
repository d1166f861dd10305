"""``hiddenstate train``: train a model from files."""

import shlex
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hiddenstate.errors import ArgumentError
from hiddenstate.models.config import TaggerConfig
from hiddenstate.train import Epoch, Step, train_tagger

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DEFAULT = TaggerConfig()
SETTINGS = " ".join(field.name for field in fields(DEFAULT))


@app.callback()
def train() -> None:
    """Train a model from files."""


@app.command()
def tagger(
    train: Annotated[Path, typer.Option(help="CoNLL-U file to learn from.", metavar="FILE")],
    dev: Annotated[Path, typer.Option(help="CoNLL-U file that chooses the best epoch.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.", metavar="DIR")],
    test: Annotated[
        Path | None, typer.Option(help="CoNLL-U file to measure the finished model on.", metavar="FILE")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Most passes over the training data.", show_default=str(DEFAULT.epochs))
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same model.", show_default=str(DEFAULT.seed))] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest step size.", show_default=str(DEFAULT.learning_rate))
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(help="Units of the word-level LSTM, each way.", show_default=str(DEFAULT.hidden_size))
    ] = None,
    num_layers: Annotated[
        int | None, typer.Option(help="Layers of the word-level LSTM.", show_default=str(DEFAULT.num_layers))
    ] = None,
    word_size: Annotated[
        int | None, typer.Option(help="Numbers in a word's embedding.", show_default=str(DEFAULT.word_size))
    ] = None,
    batch_words: Annotated[
        int | None, typer.Option(help="Most words in a batch.", show_default=str(DEFAULT.batch_words))
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help=f"Any setting, again and again: {SETTINGS}.", metavar="KEY=VALUE")
    ] = None,
    about_data: Annotated[str, typer.Option(help="For the model card: what the data is.")] = "",
    licence: Annotated[str, typer.Option(help="For the model card: terms of the weights.")] = "",
) -> None:
    """Train a part-of-speech tagger on CoNLL-U files.

    The folder holds the best model so far at all times: stopping with Ctrl-C loses only what came after it.
    """
    options = {
        "epochs": epochs,
        "seed": seed,
        "learning_rate": learning_rate,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "word_size": word_size,
        "batch_words": batch_words,
    }
    given = {name: str(value) for name, value in options.items() if value is not None}
    config = DEFAULT.with_texts({**given, **_pairs(settings or [])})
    files = {"train": train, "dev": dev, "test": test, "out": out.resolve()}
    command = _command({name: path.name for name, path in files.items() if path}, config)
    try:
        with _Display(config.epochs) as display:
            result = train_tagger(
                train,
                dev,
                out,
                config,
                test=test,
                command=command,
                about_data=about_data,
                licence=licence,
                on_progress=display.show,
            )
    except KeyboardInterrupt:
        typer.echo(f"stopped; if an epoch was done, the best model so far is in {out}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"kept epoch {result.best.last.epoch} in {out}")
    typer.echo(f"dev   {result.dev}")
    if result.test:
        typer.echo(f"test  {result.test}")


def _pairs(settings: list[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` settings; a hyphen in a key is as good as an underscore."""
    pairs = [setting.partition("=") for setting in settings]
    for setting, (_, equals, _) in zip(settings, pairs, strict=True):
        if not equals:
            raise ArgumentError(f"--set takes KEY=VALUE, such as dropout=0.3, got {setting!r}")
    return {key.strip().replace("-", "_"): value.strip() for key, _, value in pairs}


def _command(files: dict[str, str], config: TaggerConfig) -> str:
    """Write the command that trains this model: names of files (not their folders), and what is not default."""
    words = ["hiddenstate", "train", "tagger"]
    for option, name in files.items():
        words += [f"--{option}", name]
    words += ["--seed", str(config.seed)]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name != "seed" and value != getattr(DEFAULT, field.name):
            words += ["--set", f"{field.name}={value}"]
    return shlex.join(words)


class _Display:
    """A line for each epoch and, on a terminal, a bar within it."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._console = Console()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} words/s"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", epoch=1, epochs=epochs, loss=float("nan"), speed=0.0)

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Step | Epoch) -> None:
        if isinstance(progress, Step):
            self._bar.update(
                self._task,
                completed=progress.words,
                total=progress.words_total,
                epoch=progress.epoch,
                loss=progress.loss,
                speed=progress.words_per_second,
            )
            return
        last = progress.last
        self._console.print(
            f"epoch {last.epoch}/{self._epochs}  loss {last.loss:.4f}  {last.words_per_second:,.0f} words/s  "
            f"dev {progress.dev}",
            highlight=False,
            soft_wrap=True,
        )
