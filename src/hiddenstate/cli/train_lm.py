"""``hiddenstate train lm``: trains a language model on plain text."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hiddenstate.cli.run_options import TrainOptions, file, quote_path, run_file, setting, train_and_tell, training
from hiddenstate.models.language.config import LanguageConfig, defaults_for
from hiddenstate.training.settings import RunFile, read_toml

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


SETTINGS = {
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


@training(LanguageConfig, SETTINGS)
def lm(
    given: TrainOptions,
    train: Annotated[Path | None, file("Text file to train on, or part of a corpus, such as wikitext-2:train.")] = None,
    dev: Annotated[Path | None, file("Text for choosing the best epoch.")] = None,
    test: Annotated[Path | None, file("Text on which to test the finished model.")] = None,
) -> None:
    """Train a language model on plain text, on characters or on words (separated by spaces).

    The folder always holds the best model so far. Ctrl-C loses nothing: --resume continues the run.
    """
    from hiddenstate.models.language.training import describe_tally, run_language_model

    files = {"train": train, "dev": dev, "test": test}
    wanted = run_file(_defaults(given), files, given, always=("level", "seed"))
    reads = wanted.settings.level

    def tell(result: "LanguageTraining") -> Iterator[str]:
        yield f"kept epoch {result.best.last.epoch} in {quote_path(wanted.files['out'])}"
        yield f"dev   {describe_tally(result.dev, reads)}"
        if result.test:
            yield f"test  {describe_tally(result.test, reads)}"

    unit = "characters" if reads == "char" else "words"
    train_and_tell(run_language_model, wanted, given, score="dev nats", unit=unit, tell=tell)


def _defaults(given: TrainOptions) -> RunFile[LanguageConfig]:
    """The default settings, which depend on the level."""
    from hiddenstate.models.language.training import RUN_FILES

    settings = {} if given.config is None else read_toml(given.config).get("settings", {})
    level = given.settings.get("level") or (settings.get("level") if isinstance(settings, dict) else None)
    return RUN_FILES["word" if level == "word" else "char"]
