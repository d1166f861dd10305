"""``hiddenstate train``: trains a model from files."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from functools import wraps
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, get_origin, get_type_hints

import typer
from rich.progress import BarColumn, Progress, TextColumn

from hiddenstate.cli.conventions import (
    INTERRUPTED,
    Command,
    check_outputs,
    declare,
    quote_path,
    save_plot,
    standard_output,
    tell,
)
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.models.series.config import SeriesConfig
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.training.settings import RunFile, S, TrainConfig, format_setting, read_run_file, read_toml

if TYPE_CHECKING:
    from hiddenstate.models.language.training import LanguageTraining
    from hiddenstate.models.series.training import SeriesTraining
    from hiddenstate.models.tagger.training import Training
    from hiddenstate.training.task import Epoch, Result, Step


R = TypeVar("R", bound="Result[Any]")
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


def training(settings: str, *configs: TrainConfig) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn a function that takes `TrainOptions` and its own options into a training command.

    ``--set`` accepts every setting of ``configs``, which are the defaults for each level; ``settings`` names those that
    have an option of their own.
    """
    names = " ".join(configs[0].names())
    any_setting = typer.Option("--set", help=f"Any setting; repeatable: {names}.", metavar="KEY=VALUE")
    options = {name: _option(name, configs) for name in (*settings.split(), "precision")}

    def every_command(
        out: OutOption = None,
        config: ConfigOption = None,
        resume: ResumeOption = None,
        run: RunOption = None,
        plot: PlotOption = None,
        settings: Annotated[list[str] | None, any_setting] = None,
        about_data: AboutOption = None,
        licence: LicenceOption = None,
    ) -> None:
        """Declare the options that every command takes."""

    shared = list(signature(every_command).parameters.values())
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in options.items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            chosen = {name: values.pop(name) for name in options}
            texts = {name: str(value) for name, value in chosen.items() if value is not None}
            texts |= pairs(values.pop("settings"))
            about = {name: values.pop(name) for name in ("about_data", "licence")}
            places = {name: values.pop(name) for name in ("out", "config", "resume", "run", "plot")}
            command(TrainOptions(texts, **places, about=about), **values)

        files = list(signature(command).parameters.values())[1:]
        declare(run, (*files, *shared[:5], *own, *shared[5:]))
        return run

    return decorate


def file(text: str) -> Any:
    """Make an option that takes a file."""
    return typer.Option(help=text, metavar="FILE")


def folder(text: str) -> Any:
    """Make an option that takes a folder."""
    return typer.Option(help=text, metavar="DIR")


def _option(name: str, configs: Sequence[TrainConfig]) -> Any:
    """Make an option for one setting, from its type and its text in the docstring of the config's class."""
    wanted = get_type_hints(type(configs[0]))[name]
    choices = next(field.metadata for field in fields(configs[0]) if field.name == name).get("choices")
    kind = Literal[choices] if choices else str if get_origin(wanted) is tuple else wanted
    docs = "".join(cleandoc(base.__doc__ or "") for base in type(configs[0]).__mro__)
    described = re.search(rf"^    {name}: (.+(?:\n        .+)*)", docs, re.MULTILINE)
    text = " ".join(described[1].replace("``", "").split()) if described else ""
    text += " Separated by commas." if get_origin(wanted) is tuple else ""
    # Without an option, the config file decides or, if it has no such setting, these.
    values = dict.fromkeys(format_setting(getattr(config, name)) for config in configs)
    defaults = choices[0] if choices else ", for words ".join(values)
    return Annotated[kind | None, typer.Option(help=text[:1].upper() + text[1:], show_default=defaults or False)]


def run_file(
    defaults: RunFile[S],
    files: Mapping[str, Path | None],
    options: TrainOptions,
    always: Sequence[str] = ("seed",),
    lists: Mapping[str, Sequence[Path] | None] | None = None,
) -> RunFile[S]:
    """Assemble the run file: options, config file, defaults; the saved command has those of ``always``."""
    paths = {name: str(path) for name, path in (*files.items(), ("out", options.out)) if path is not None}
    several = {name: tuple(map(str, values)) for name, values in (lists or {}).items() if values}
    about = {name: text for name, text in options.about.items() if text is not None}
    if options.resume is not None:
        if options.config or paths or several or about or options.settings:
            raise ArgumentError("--resume takes everything from the run's folder; drop the other options")
        from hiddenstate.training.checkpoint import RunFolder

        return read_run_file(RunFolder(options.resume).check(), defaults)
    base = defaults if options.config is None else read_run_file(options.config, defaults)
    single, listed = {**base.files, **paths}, {**base.lists, **several}
    for name in ("data", "train", "dev", "out"):
        if name in single and not single[name]:
            hint = "FILE" if name == "data" else f"--{name}"
            raise typer.BadParameter("is missing; give it here or in the --config file", param_hint=hint)
    wanted = replace(
        base,
        settings=base.settings.with_texts(options.settings),
        files={name: _full_path(name, path) for name, path in single.items()},
        about={**base.about, **about},
        lists={name: tuple(_full_path(name, path) for path in paths) for name, paths in listed.items()},
    )
    every_path = [*single.items(), *((name, path) for name, paths in listed.items() for path in paths)]
    return replace(wanted, about={**wanted.about, "command": _command(wanted, every_path, defaults, always)})


def _full_path(name: str, path: str) -> str:
    if not path:
        return ""
    from hiddenstate.models.model_folder import find_folder
    from hiddenstate.models.series.tables import find_table
    from hiddenstate.models.tagger.training import MODELS
    from hiddenstate.text.corpora import corpus_path

    if name in ("data", "out"):
        full = Path(path) if name == "out" else find_table(path)
    else:
        full = find_folder(path) if name in MODELS else corpus_path(path)
    return str(full.resolve())


def pairs(settings: list[str] | None) -> dict[str, str]:
    """Parse ``KEY=VALUE`` settings; hyphens in keys count as underscores."""
    split = [setting.partition("=") for setting in settings or []]
    for setting, (_, equals, _) in zip(settings or [], split, strict=True):
        if not equals:
            raise ArgumentError(f"--set takes KEY=VALUE, such as dropout=0.3, got {setting!r}")
    return {key.strip().replace("-", "_"): value.strip() for key, _, value in split}


def _command(wanted: RunFile[S], files: Iterable[tuple[str, str]], defaults: RunFile[S], always: Sequence[str]) -> str:
    """Return the command that trains this model, with file names (without folders) and non-default settings."""
    from hiddenstate.text.corpora import names_corpus

    words = ["hiddenstate", "train", wanted.kind]
    for option, path in files:
        if path:
            name = path if names_corpus(path) else Path(path).name
            words += [name] if option == "data" else [f"--{option.replace('_', '-')}", name]
    settings, usual = asdict(wanted.settings), asdict(defaults.settings)
    for name in always:
        words += [f"--{name}", format_setting(settings[name])]
    for name, value in settings.items():
        if name not in always and value != usual[name]:
            words += ["--set", f"{name}={format_setting(value)}"]
    return shlex.join(words)


def train_and_tell(
    train: Callable[..., R],
    wanted: RunFile[C],
    options: TrainOptions,
    *,
    score: str,
    unit: str,
    describe: Callable[[R], Iterable[str]],
) -> None:
    """Train a run file, show the progress and report the result; on Ctrl-C, print how to resume."""
    from hiddenstate.training.checkpoint import SETTINGS, default_run

    if options.resume is not None and options.run is not None:
        raise ArgumentError("--resume already names the run's folder; drop --run")
    place = options.resume or options.run or default_run(Path(wanted.files["out"]))
    if options.plot is not None:
        check_outputs(plot=options.plot)
        from hiddenstate.training.plot import plot_run
    try:
        with displayed(wanted.settings.epochs, unit) as show:
            result = train(wanted, place, resume=options.resume is not None, on_progress=show)
        kept = f"kept epoch {result.best.last.epoch} in {quote_path(wanted.files['out'])}"
        for line in (kept, *describe(result)):
            standard_output(exact=False).write(f"{line}\n")
        if options.plot is not None:
            save_plot(plot_run(place, score), options.plot)
    except KeyboardInterrupt:
        if not (place / SETTINGS).is_file():
            tell("stopped before training began")
        else:
            again = shlex.join(["hiddenstate", "train", wanted.kind, "--resume", quote_path(place)])
            tell(f"stopped; resume with: {again}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def displayed(epochs: int, unit: str) -> "Iterator[Callable[[Step | Epoch], None]]":
    """Yield a function that shows progress reports: a line for each epoch and, on a terminal, a bar within it."""
    from hiddenstate.training.task import Step

    screen, score = console(), ""
    columns = TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"), BarColumn()
    shown = TextColumn("{task.fields[text]}")

    def line(step: Step) -> str:
        return f"loss {step.loss:.4f}  {step.units_per_second:,.0f} {unit}/s"

    def show(progress: "Step | Epoch") -> None:
        nonlocal score
        if isinstance(progress, Step):
            text = f"{line(progress)}{score}  {_clock(progress.seconds_left)} left"
            bar.update(task, completed=progress.units, total=progress.units_total, epoch=progress.epoch, text=text)
            return
        score = f"  dev {progress.score.text}"
        text = f"epoch {progress.last.epoch}/{epochs}  {line(progress.last)}{score}"
        screen.print(text, highlight=False, soft_wrap=True)

    with Progress(*columns, shown, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", epoch=1, epochs=epochs, text="")
        yield show


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def train() -> None:
    """Train a model from files."""


@app.command(cls=Command)
@training("columns epochs seed learning_rate hidden_size num_layers word_size batch_words", TaggerConfig())
def tagger(
    options: TrainOptions,
    train: Annotated[Path | None, file("CoNLL-U file to train on.")] = None,
    dev: Annotated[Path | None, file("CoNLL-U file for choosing the best epoch.")] = None,
    test: Annotated[Path | None, file("CoNLL-U file on which to test the finished model.")] = None,
    forward_model: Annotated[Path | None, folder("Character language model whose states are an extra input.")] = None,
    backward_model: Annotated[Path | None, folder("A second one, reading backward; give both or neither.")] = None,
    teacher: Annotated[
        list[Path] | None,
        folder("Trained tagger to distil from; repeatable: the mean of their probabilities is learnt."),
    ] = None,
    untagged: Annotated[
        list[Path] | None, file("More text, CoNLL-U or plain, for the teachers to tag; repeatable.")
    ] = None,
    start: Annotated[Path | None, folder("Trained tagger with the same sizes and tags, as a warm start.")] = None,
) -> None:
    """Train a part-of-speech tagger on CoNLL-U files.

    The folder always holds the best model so far. Ctrl-C loses nothing: --resume continues the run.
    """
    from hiddenstate.models.tagger.training import TAGGER_RUN, run_tagger

    files = {"train": train, "dev": dev, "test": test, "start": start}
    files |= {"forward_model": forward_model, "backward_model": backward_model}
    wanted = run_file(TAGGER_RUN, files, options, lists={"teacher": teacher, "untagged": untagged})

    def describe(result: "Training") -> Iterator[str]:
        for name, reports in (("dev", result.dev), ("test", result.test or {})):
            for column, report in reports.items():
                yield f"{name:4}  {column.upper()} {report}"

    train_and_tell(run_tagger, wanted, options, score="dev accuracy", unit="words", describe=describe)


@app.command(cls=Command)
@training(
    "level epochs seed learning_rate embedding_size hidden_size num_layers rows steps",
    defaults_for("char"),
    defaults_for("word"),
)
def lm(
    options: TrainOptions,
    train: Annotated[Path | None, file("Text file to train on, or part of a corpus, such as wikitext-2:train.")] = None,
    dev: Annotated[Path | None, file("Text for choosing the best epoch.")] = None,
    test: Annotated[Path | None, file("Text on which to test the finished model.")] = None,
) -> None:
    """Train a language model on plain text, on characters or on words (separated by spaces).

    The folder always holds the best model so far. Ctrl-C loses nothing: --resume continues the run.
    """
    from hiddenstate.models.language.training import describe_tally, run_language_model

    files = {"train": train, "dev": dev, "test": test}
    wanted = run_file(_defaults(options), files, options, always=("level", "seed"))
    reads = wanted.settings.level

    def describe(result: "LanguageTraining") -> Iterator[str]:
        yield f"dev   {describe_tally(result.dev, reads)}"
        if result.test:
            yield f"test  {describe_tally(result.test, reads)}"

    unit = "characters" if reads == "char" else "words"
    train_and_tell(run_language_model, wanted, options, score="dev nats", unit=unit, describe=describe)


def _defaults(options: TrainOptions) -> RunFile[LanguageConfig]:
    """The default settings, which depend on the level."""
    from hiddenstate.models.language.training import RUN_FILES

    settings = {} if options.config is None else read_toml(options.config).get("settings", {})
    level = options.settings.get("level") or (settings.get("level") if isinstance(settings, dict) else None)
    return RUN_FILES["word" if level == "word" else "char"]


@app.command(cls=Command)
@training(
    "target features dates rows units missing gaps window horizon dev_from test_from epochs seed learning_rate "
    "hidden_size num_layers",
    SeriesConfig(),
)
def series(
    options: TrainOptions,
    data: Annotated[
        Path | None, typer.Argument(help="CSV or Parquet file with a line for each date.", metavar="FILE")
    ] = None,
) -> None:
    """Train a forecaster on a CSV or Parquet file, split by date: training, dev and test follow one another.

    At the end its skill is printed, against persistence, the season, the mean and ridge regression. The folder always
    holds the best model so far. Ctrl-C loses nothing: --resume continues the run.

    Example: hiddenstate train series seattle-weather.csv --target temp_max --out seattle
    """
    from hiddenstate.models.series.training import SERIES_RUN, run_series

    wanted = run_file(SERIES_RUN, {"data": data}, options, always=("target", "seed"))

    def describe(result: "SeriesTraining") -> Iterator[str]:
        for name, skill in (("dev", result.dev), ("test", result.test)):
            yield from [] if skill is None else [f"{name:4}  {skill}"]

    train_and_tell(run_series, wanted, options, score="dev error", unit="windows", describe=describe)
