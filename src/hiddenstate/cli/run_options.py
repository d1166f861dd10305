"""What every ``hiddenstate train`` command takes, and how it becomes a run file."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from hiddenstate.cli import outputs
from hiddenstate.errors import ArgumentError
from hiddenstate.training.config import TrainConfig
from hiddenstate.training.run_file import RunFile, read_run_file
from hiddenstate.training.settings import S, format_setting

V = TypeVar("V")
C = TypeVar("C", bound=TrainConfig)

ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file with all of this; options given beside it win.", metavar="FILE")
]
ResumeOption = Annotated[
    Path | None, typer.Option(help="Go on with the run in this folder, to the very same model.", metavar="DIR")
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", help="Folder for checkpoints and metrics; as --out with .run behind without.", metavar="DIR"),
]
PlotOption = Annotated[Path | None, typer.Option(help="Also draw the run: a PNG, SVG or PDF.", metavar="FILE")]
PrecisionOption = Annotated[
    str | None, typer.Option(help="fp32, or bf16 for products in bfloat16.", show_default="fp32")
]
AboutOption = Annotated[str | None, typer.Option(help="For the model card: what the data is.")]
LicenceOption = Annotated[str | None, typer.Option(help="For the model card: terms of the weights.")]


def settings_option(config: type[TrainConfig]) -> Any:
    """Make the option for any of a config's settings."""
    names = " ".join(config.names())
    return typer.Option("--set", help=f"Any setting, again and again: {names}.", metavar="KEY=VALUE")


def run_file(
    defaults: RunFile[S],
    files: Mapping[str, Path | None],
    about: Mapping[str, str | None],
    settings: Mapping[str, str],
    config: Path | None = None,
    resume: Path | None = None,
    always: Sequence[str] = ("seed",),
    lists: Mapping[str, Sequence[Path] | None] | None = None,
) -> RunFile[S]:
    """Put together what a run is to do: what is given, else what the config file says, else the defaults.

    Files to read may be named as parts of a corpus, which is fetched then. Of those in ``lists`` there may be several;
    given ones replace all that the config file names. The settings named in ``always`` are in the
    command that is kept, also with the values that they have by default.

    Raises:
        ArgumentError: a setting is wrong, or something is given beside a run to be resumed.
        FileFormatError: the config file, or the run's, is not as it should be.
        DownloadError: a corpus could not be fetched.
        typer.BadParameter: a file is missing that a run needs.
    """
    paths = {name: str(path) for name, path in files.items() if path is not None}
    several = {name: tuple(map(str, each)) for name, each in (lists or {}).items() if each}
    texts = {name: text for name, text in about.items() if text is not None}
    if resume is not None:
        if config or paths or several or texts or settings:
            raise ArgumentError("--resume takes everything from the run's folder; drop the other options")
        from hiddenstate.training.checkpoint import RunFolder

        return read_run_file(RunFolder(resume).check(), defaults)
    base = defaults if config is None else read_run_file(config, defaults)
    named, each_named = {**base.files, **paths}, {**base.lists, **several}
    for name in ("train", "dev", "out"):
        if not named[name]:
            raise typer.BadParameter("is missing; give it here or in the file of --config", param_hint=f"--{name}")
    wanted = replace(
        base,
        settings=base.settings.with_texts(settings),
        files={name: _full_path(name, path) for name, path in named.items()},
        about={**base.about, **texts},
        lists={name: tuple(_full_path(name, path) for path in each) for name, each in each_named.items()},
    )
    listed = [*named.items(), *((name, path) for name, each in each_named.items() for path in each)]
    return replace(wanted, about={**wanted.about, "command": _command(wanted, listed, defaults, always)})


def _full_path(name: str, path: str) -> str:
    if not path:
        return ""
    from hiddenstate.models.folder.model_folder import find_folder
    from hiddenstate.models.tagger.training import MODELS
    from hiddenstate.text.corpora import path_of

    found = Path(path) if name == "out" else find_folder(path) if name in MODELS else path_of(path)
    return str(found.resolve())


def chosen(options: Mapping[str, object], settings: list[str] | None) -> dict[str, str]:
    """Put the options that were given and the ``--set KEY=VALUE`` settings together, as texts; the latter win."""
    return {name: str(value) for name, value in options.items() if value is not None} | pairs(settings)


def pairs(settings: list[str] | None) -> dict[str, str]:
    """Read ``KEY=VALUE`` settings; a hyphen in a key is as good as an underscore."""
    split = [setting.partition("=") for setting in settings or []]
    for setting, (_, equals, _) in zip(settings or [], split, strict=True):
        if not equals:
            raise ArgumentError(f"--set takes KEY=VALUE, such as dropout=0.3, got {setting!r}")
    return {key.strip().replace("-", "_"): value.strip() for key, _, value in split}


def train_and_tell(
    train: Callable[..., V],
    wanted: RunFile[C],
    *,
    run: Path | None,
    resume: Path | None,
    plot: Path | None,
    score: str,
    unit: str,
    tell: Callable[[V], Iterable[str]],
) -> None:
    """Train what a run file says, show how that goes, and tell in the end what came of it.

    ``train`` takes the run file, the run's folder, and whether it is resumed; ``score`` and ``unit`` say what is drawn
    and counted.
    """
    from hiddenstate.cli.progress import Display
    from hiddenstate.training.checkpoint import default_run
    from hiddenstate.training.machine import is_leader

    if resume is not None and run is not None:
        raise ArgumentError("--resume names the run's folder already; drop --run")
    place = resume or run or default_run(Path(wanted.files["out"]))
    draw = drawer(plot, place, score)

    def work() -> None:
        with Display(wanted.settings.epochs, unit) as display:
            result = train(wanted, place, resume=resume is not None, on_progress=display.show)
        if is_leader():
            for line in tell(result):
                outputs.standard_output(exact=False).write(f"{line}\n")
            draw()

    stoppable(work, wanted.kind, place)


def stoppable(work: Callable[[], None], kind: str, run: Path) -> None:
    """Train, and tell; when that is ended by Ctrl-C, say how to go on, and exit as a shell expects."""
    from hiddenstate.training.checkpoint import SETTINGS
    from hiddenstate.training.machine import is_leader

    try:
        work()
    except KeyboardInterrupt:
        if is_leader() and not (run / SETTINGS).is_file():
            outputs.tell("stopped before training began")
        elif is_leader():
            again = shlex.join(["hiddenstate", "train", kind, "--resume", quote_path(run)])
            outputs.tell(f"stopped; go on with: {again}")
        raise typer.Exit(130) from None


def _command(wanted: RunFile[S], files: Iterable[tuple[str, str]], defaults: RunFile[S], always: Sequence[str]) -> str:
    """Write the command that trains this model: names of files (not their folders), and what is not default."""
    from hiddenstate.text.corpora import names_corpus

    words = ["hiddenstate", "train", wanted.kind]
    for option, path in files:
        if path:
            name = path if names_corpus(path) else Path(path).name
            words += [f"--{option.replace('_', '-')}", name]
    settings, usual = asdict(wanted.settings), asdict(defaults.settings)
    for name in always:
        words += [f"--{name}", format_setting(settings[name])]
    for name, value in settings.items():
        if name not in always and value != usual[name]:
            words += ["--set", f"{name}={format_setting(value)}"]
    return shlex.join(words)


def drawer(path: Path | None, run: Path, score: str) -> Callable[[], None]:
    """Return what draws the run into a file when it is done; what is missing for that is said now."""
    if path is None:
        return lambda: None
    outputs.check_outputs(plot=path)
    from hiddenstate.training.plot import plot_run

    return lambda: outputs.save_plot(plot_run(run, score), path)


def quote_path(path: str | Path) -> str:
    """Write a path as short as it can be from here."""
    here, there = Path.cwd(), Path(path).resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else str(path)
