"""``hiddenstate train``: trains a model from files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hiddenstate.cli.conventions import Command
from hiddenstate.cli.run_options import TrainOptions, file, folder, run_file, setting, train_and_tell, training
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.models.series.config import SeriesConfig
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.training.settings import RunFile, read_toml

if TYPE_CHECKING:
    from hiddenstate.models.language.training import LanguageTraining
    from hiddenstate.models.series.training import SeriesTraining
    from hiddenstate.models.tagger.training import Training

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DEFAULT = TaggerConfig()
Level = Literal["char", "word"]
Gaps = Literal["refuse", "insert", "join"]
CHARACTERS, WORDS = defaults_for("char"), defaults_for("word")


@app.callback()
def train() -> None:
    """Train a model from files."""


_columns = typer.Option(
    help="CoNLL-U columns to learn jointly: upos, xpos, feats or any other, separated by commas.",
    show_default=",".join(DEFAULT.columns),
)
TAGGER_SETTINGS = {
    "columns": Annotated[str | None, _columns],
    "epochs": Annotated[int | None, setting("Maximum number of passes over the training data.", DEFAULT.epochs)],
    "seed": Annotated[int | None, setting("Same seed, same model.", DEFAULT.seed)],
    "learning_rate": Annotated[float | None, setting("Peak learning rate.", DEFAULT.learning_rate)],
    "hidden_size": Annotated[int | None, setting("Units of the word-level LSTM, per direction.", DEFAULT.hidden_size)],
    "num_layers": Annotated[int | None, setting("Layers of the word-level LSTM.", DEFAULT.num_layers)],
    "word_size": Annotated[int | None, setting("Size of the word embeddings.", DEFAULT.word_size)],
    "batch_words": Annotated[int | None, setting("Maximum number of words in a batch.", DEFAULT.batch_words)],
}


@app.command(cls=Command)
@training(TaggerConfig, TAGGER_SETTINGS)
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


def _default(name: str) -> str:
    """Show a default, or both if they differ."""
    values = [str(getattr(config, name)) for config in (CHARACTERS, WORDS)]
    return values[0] if values[0] == values[1] else f"{values[0]}, for words {values[1]}"


LANGUAGE_SETTINGS = {
    "level": Annotated[Level | None, setting("Tokens to read and predict.", "char")],
    "epochs": Annotated[int | None, setting("Maximum number of passes over the text.", _default("epochs"))],
    "seed": Annotated[int | None, setting("Same seed, same model.", _default("seed"))],
    "learning_rate": Annotated[float | None, setting("Peak learning rate.", _default("learning_rate"))],
    "embedding_size": Annotated[
        int | None, setting("Size of the character or word embeddings.", _default("embedding_size"))
    ],
    "hidden_size": Annotated[int | None, setting("Units of each layer.", _default("hidden_size"))],
    "num_layers": Annotated[int | None, setting("Layers.", _default("num_layers"))],
    "rows": Annotated[int | None, setting("Batch size: pieces of the text read in parallel.", _default("rows"))],
    "steps": Annotated[int | None, setting("Time steps per batch.", _default("steps"))],
}


@app.command(cls=Command)
@training(LanguageConfig, LANGUAGE_SETTINGS)
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


FORECASTER = SeriesConfig()
SERIES_SETTINGS = {
    "target": Annotated[str | None, typer.Option(help="Columns to forecast, separated by commas.")],
    "features": Annotated[
        str | None, setting("Columns to read, separated by commas; missing ones are an error.", "all of numbers")
    ],
    "dates": Annotated[str | None, setting("Column of the dates.", "the only one")],
    "rows": Annotated[str | None, setting("Column that names the rows, such as stations.", "none")],
    "units": Annotated[str | None, setting("Units of columns, such as flow=m3/s,rain=mm.", "none")],
    "missing": Annotated[str | None, setting("What replaces a missing value: a number, or previous.", "an error")],
    "gaps": Annotated[Gaps | None, setting("What to do if dates are missing.", FORECASTER.gaps)],
    "window": Annotated[int | None, setting("Steps that are read for a forecast.", FORECASTER.window)],
    "horizon": Annotated[int | None, setting("Steps after them that are forecast.", FORECASTER.horizon)],
    "dev_from": Annotated[
        str | None, setting("First date of the part used to choose the epoch.", f"{FORECASTER.dev_share:.0%} of steps")
    ],
    "test_from": Annotated[
        str | None, setting("First date of the part that is held out.", f"the last {FORECASTER.test_share:.0%}")
    ],
    "epochs": Annotated[int | None, setting("Maximum number of passes over the training part.", FORECASTER.epochs)],
    "seed": Annotated[int | None, setting("Same seed, same model.", FORECASTER.seed)],
    "learning_rate": Annotated[float | None, setting("Peak learning rate.", FORECASTER.learning_rate)],
    "hidden_size": Annotated[int | None, setting("Units of each layer.", FORECASTER.hidden_size)],
    "num_layers": Annotated[int | None, setting("Layers.", FORECASTER.num_layers)],
}


@app.command(cls=Command)
@training(SeriesConfig, SERIES_SETTINGS)
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
