"""The options of all ``hiddenstate train`` commands, which are turned into a run file."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from hiddenstate.cli import outputs
from hiddenstate.errors import ArgumentError
from hiddenstate.training.settings import RunFile, S, TrainConfig, format_setting, read_run_file

V = TypeVar("V")
C = TypeVar("C", bound=TrainConfig)

ConfigOption = Annotated[
    Path | None,
    typer.Option(help="TOML file with these settings; options on the command line override it.", metavar="FILE"),
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the model.", metavar="DIR")]
ResumeOption = Annotated[
    Path | None,
    typer.Option(help="Resume the run in this folder; the result is exactly the same model.", metavar="DIR"),
]
RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Folder for checkpoints and metrics; default: the name of --out with .run appended.",
        metavar="DIR",
    ),
]
PlotOption = Annotated[Path | None, typer.Option(help="Also draw the run as a PNG, SVG or PDF.", metavar="FILE")]
PrecisionOption = Annotated[
    str | None, typer.Option(help="fp32, or bf16 for matrix products in bfloat16.", show_default="fp32")
]
AboutOption = Annotated[str | None, typer.Option(help="For the model card: a description of the data.")]
LicenceOption = Annotated[str | None, typer.Option(help="For the model card: the licence of the weights.")]


class TrainOptions(NamedTuple):
    """The values of the options that all training commands have; ``settings`` maps names to texts."""

    settings: dict[str, str]
    out: Path | None = None
    config: Path | None = None
    resume: Path | None = None
    run: Path | None = None
    plot: Path | None = None
    about: Mapping[str, str | None] = MappingProxyType({})


def training(
    config: type[TrainConfig], options: Mapping[str, Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a function that takes `TrainOptions` and its own options into a training command.

    Args:
        config: the settings, all of which ``--set`` accepts.
        options: the annotations of the settings that have an option of their own.
    """

    def every_command(
        out: OutOption = None,
        config: ConfigOption = None,
        resume: ResumeOption = None,
        run: RunOption = None,
        plot: PlotOption = None,
        precision: PrecisionOption = None,
        settings: Annotated[list[str] | None, settings_option(config)] = None,
        about_data: AboutOption = None,
        licence: LicenceOption = None,
    ) -> None:
        """Declare the options that every command takes."""

    shared = list(signature(every_command).parameters.values())
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in options.items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in (*options, "precision")}
            texts = {name: str(getattr(value, "value", value)) for name, value in chosen.items() if value is not None}
            texts |= pairs(given.pop("settings"))
            about = {name: given.pop(name) for name in ("about_data", "licence")}
            places = {name: given.pop(name) for name in ("out", "config", "resume", "run", "plot")}
            command(TrainOptions(texts, **places, about=about), **given)

        files = list(signature(command).parameters.values())[1:]
        every = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in (*files, *shared[:5], *own, *shared[5:])]
        vars(run)["__signature__"] = Signature(every)
        run.__annotations__ = {each.name: each.annotation for each in every}
        return run

    return decorate


def file(text: str) -> Any:
    """Make an option that takes a file."""
    return typer.Option(help=text, metavar="FILE")


def folder(text: str) -> Any:
    """Make an option that takes a folder."""
    return typer.Option(help=text, metavar="DIR")


def setting(text: str, default: object) -> Any:
    """Make an option for one setting. Its default is the config file's value or, if there is none, this one."""
    return typer.Option(help=text, show_default=str(default))


def settings_option(config: type[TrainConfig]) -> Any:
    """Make the ``--set`` option, which takes any setting of a config."""
    names = " ".join(config.names())
    return typer.Option("--set", help=f"Any setting; repeatable: {names}.", metavar="KEY=VALUE")


def run_file(
    defaults: RunFile[S],
    files: Mapping[str, Path | None],
    given: TrainOptions,
    always: Sequence[str] = ("seed",),
    lists: Mapping[str, Sequence[Path] | None] | None = None,
) -> RunFile[S]:
    """Assemble the run file: options first, then the config file, then the defaults.

    Input files may be given as parts of a corpus, which is then downloaded. Settings in ``lists`` may have several
    values, which replace all values in the config file. The settings named in ``always`` appear in the saved command
    even if they have their default values.

    Raises:
        ArgumentError: a setting is wrong, or other options accompany ``--resume``.
        FileFormatError: the config file, or the run file, is invalid.
        DownloadError: a corpus could not be downloaded.
        typer.BadParameter: a required file is missing.
    """
    _, out, config, resume, *_ = given
    paths = {name: str(path) for name, path in (*files.items(), ("out", out)) if path is not None}
    several = {name: tuple(map(str, each)) for name, each in (lists or {}).items() if each}
    texts = {name: text for name, text in given.about.items() if text is not None}
    if resume is not None:
        if config or paths or several or texts or given.settings:
            raise ArgumentError("--resume takes everything from the run's folder; drop the other options")
        from hiddenstate.training.checkpoint import RunFolder

        return read_run_file(RunFolder(resume).check(), defaults)
    base = defaults if config is None else read_run_file(config, defaults)
    named, each_named = {**base.files, **paths}, {**base.lists, **several}
    for name in ("train", "dev", "out"):
        if not named[name]:
            raise typer.BadParameter("is missing; give it here or in the --config file", param_hint=f"--{name}")
    wanted = replace(
        base,
        settings=base.settings.with_texts(given.settings),
        files={name: _full_path(name, path) for name, path in named.items()},
        about={**base.about, **texts},
        lists={name: tuple(_full_path(name, path) for path in each) for name, each in each_named.items()},
    )
    listed = [*named.items(), *((name, path) for name, each in each_named.items() for path in each)]
    return replace(wanted, about={**wanted.about, "command": _command(wanted, listed, defaults, always)})


def _full_path(name: str, path: str) -> str:
    if not path:
        return ""
    from hiddenstate.models.model_folder import find_folder
    from hiddenstate.models.tagger.training import MODELS
    from hiddenstate.text.corpora import corpus_path

    found = Path(path) if name == "out" else find_folder(path) if name in MODELS else corpus_path(path)
    return str(found.resolve())


def pairs(settings: list[str] | None) -> dict[str, str]:
    """Parse ``KEY=VALUE`` settings; hyphens in keys count as underscores."""
    split = [setting.partition("=") for setting in settings or []]
    for setting, (_, equals, _) in zip(settings or [], split, strict=True):
        if not equals:
            raise ArgumentError(f"--set takes KEY=VALUE, such as dropout=0.3, got {setting!r}")
    return {key.strip().replace("-", "_"): value.strip() for key, _, value in split}


def train_and_tell(
    train: Callable[..., V],
    wanted: RunFile[C],
    given: TrainOptions,
    *,
    score: str,
    unit: str,
    tell: Callable[[V], Iterable[str]],
) -> None:
    """Train according to a run file, show the progress, and report the result.

    ``train`` takes the run file, the run's folder, and whether it is resumed; ``score`` is the metric to plot and
    ``unit`` what is counted.
    """
    from hiddenstate.cli.progress import Display
    from hiddenstate.training.checkpoint import default_run
    from hiddenstate.training.machine import is_leader

    if given.resume is not None and given.run is not None:
        raise ArgumentError("--resume already names the run's folder; drop --run")
    place = given.resume or given.run or default_run(Path(wanted.files["out"]))
    draw = drawer(given.plot, place, score)

    def work() -> None:
        with Display(wanted.settings.epochs, unit) as display:
            result = train(wanted, place, resume=given.resume is not None, on_progress=display.show)
        if is_leader():
            for line in tell(result):
                outputs.standard_output(exact=False).write(f"{line}\n")
            draw()

    stoppable(work, wanted.kind, place)


def stoppable(work: Callable[[], None], kind: str, run: Path) -> None:
    """Train and report; on Ctrl-C, print how to resume, and exit with the status that a shell expects."""
    from hiddenstate.training.checkpoint import SETTINGS
    from hiddenstate.training.machine import is_leader

    try:
        work()
    except KeyboardInterrupt:
        if is_leader() and not (run / SETTINGS).is_file():
            outputs.tell("stopped before training began")
        elif is_leader():
            again = shlex.join(["hiddenstate", "train", kind, "--resume", quote_path(run)])
            outputs.tell(f"stopped; resume with: {again}")
        raise typer.Exit(130) from None


def _command(wanted: RunFile[S], files: Iterable[tuple[str, str]], defaults: RunFile[S], always: Sequence[str]) -> str:
    """Return the command that trains this model, with file names (without folders) and non-default settings."""
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
    """Return a function that draws the finished run into a file; invalid files are rejected at once."""
    if path is None:
        return lambda: None
    outputs.check_outputs(plot=path)
    from hiddenstate.training.plot import plot_run

    return lambda: outputs.save_plot(plot_run(run, score), path)


def quote_path(path: str | Path) -> str:
    """Write a path relative to the current folder, if that is shorter."""
    here, there = Path.cwd(), Path(path).resolve()
    return str(there.relative_to(here)) if there.is_relative_to(here) else str(path)
