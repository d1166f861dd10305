"""``hiddenstate train``: trains a model from files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.conventions import Command
from hiddenstate.cli.run_options import TrainOptions, file, folder, run_file, train_and_tell, training
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.models.series.config import SeriesConfig
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.training.settings import RunFile, read_toml

if TYPE_CHECKING:
    from hiddenstate.models.language.training import LanguageTraining
    from hiddenstate.models.series.training import SeriesTraining
    from hiddenstate.models.tagger.training import Training

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
