"""``hiddenstate train lm``: train a language model on plain text."""

from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hiddenstate.cli.run_options import (
    AboutOption,
    ConfigOption,
    LicenceOption,
    OutOption,
    PlotOption,
    PrecisionOption,
    ResumeOption,
    RunOption,
    chosen,
    file,
    quote_path,
    run_file,
    setting,
    settings_option,
    train_and_tell,
)
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.training.run_file import RunFile
from hiddenstate.training.settings import read_toml

if TYPE_CHECKING:
    from hiddenstate.models.language.training import LanguageTraining

CHARACTERS, WORDS = defaults_for("char"), defaults_for("word")


class Level(str, Enum):
    """The tokens that are read and predicted."""

    char = "char"
    word = "word"


def _default(name: str) -> str:
    """Show a default, or both if they differ."""
    values = [str(getattr(config, name)) for config in (CHARACTERS, WORDS)]
    return values[0] if values[0] == values[1] else f"{values[0]}, for words {values[1]}"


def lm(
    level: Annotated[Level | None, setting("Tokens to read and predict.", "char")] = None,
    train: Annotated[Path | None, file("Text file to train on, or part of a corpus, such as wikitext-2:train.")] = None,
    dev: Annotated[Path | None, file("Text for choosing the best epoch.")] = None,
    out: OutOption = None,
    test: Annotated[Path | None, file("Text on which to test the finished model.")] = None,
    config: ConfigOption = None,
    resume: ResumeOption = None,
    run: RunOption = None,
    plot: PlotOption = None,
    epochs: Annotated[int | None, setting("Maximum number of passes over the text.", _default("epochs"))] = None,
    seed: Annotated[int | None, setting("Same seed, same model.", _default("seed"))] = None,
    learning_rate: Annotated[float | None, setting("Peak learning rate.", _default("learning_rate"))] = None,
    embedding_size: Annotated[
        int | None, setting("Size of the character or word embeddings.", _default("embedding_size"))
    ] = None,
    hidden_size: Annotated[int | None, setting("Units of each layer.", _default("hidden_size"))] = None,
    num_layers: Annotated[int | None, setting("Layers.", _default("num_layers"))] = None,
    rows: Annotated[int | None, setting("Batch size: pieces of the text read in parallel.", _default("rows"))] = None,
    steps: Annotated[int | None, setting("Time steps per batch.", _default("steps"))] = None,
    precision: PrecisionOption = None,
    settings: Annotated[list[str] | None, settings_option(LanguageConfig)] = None,
    about_data: AboutOption = None,
    licence: LicenceOption = None,
) -> None:
    """Train a language model on plain text, on characters or on words (separated by spaces).

    The folder always holds the best model so far. Ctrl-C loses nothing: --resume continues the run.
    """
    from hiddenstate.models.language.training import describe_tally, run_language_model

    options = {
        "level": None if level is None else level.value,
        "epochs": epochs,
        "seed": seed,
        "learning_rate": learning_rate,
        "embedding_size": embedding_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "rows": rows,
        "steps": steps,
        "precision": precision,
    }
    given = chosen(options, settings)
    wanted = run_file(
        _defaults(given, config),
        {"train": train, "dev": dev, "test": test, "out": out},
        {"about_data": about_data, "licence": licence},
        given,
        config,
        resume,
        always=("level", "seed"),
    )
    reads = wanted.settings.level

    def tell(result: "LanguageTraining") -> Iterator[str]:
        yield f"kept epoch {result.best.last.epoch} in {quote_path(wanted.files['out'])}"
        yield f"dev   {describe_tally(result.dev, reads)}"
        if result.test:
            yield f"test  {describe_tally(result.test, reads)}"

    unit = "characters" if reads == "char" else "words"
    train_and_tell(
        run_language_model, wanted, run=run, resume=resume, plot=plot, score="dev nats", unit=unit, tell=tell
    )


def _defaults(given: Mapping[str, str], config: Path | None) -> RunFile[LanguageConfig]:
    """The default settings, which depend on the level."""
    from hiddenstate.models.language.training import RUN_FILES

    settings = {} if config is None else read_toml(config).get("settings", {})
    level = given.get("level") or (settings.get("level") if isinstance(settings, dict) else None)
    return RUN_FILES["word" if level == "word" else "char"]
