"""``hiddenstate train``: trains a model from files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.commands import Command
from hiddenstate.cli.run_options import (
    TrainOptions,
    file,
    folder,
    quote_path,
    run_file,
    setting,
    train_and_tell,
    training,
)
from hiddenstate.models.tagger.config import TaggerConfig

if TYPE_CHECKING:
    from hiddenstate.models.tagger.training import Training

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DEFAULT = TaggerConfig()


@app.callback()
def train() -> None:
    """Train a model from files."""


_columns = typer.Option(
    help="CoNLL-U columns to learn jointly: upos, xpos, feats or any other, separated by commas.",
    show_default=",".join(DEFAULT.columns),
)
SETTINGS = {
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
@training(TaggerConfig, SETTINGS)
def tagger(
    given: TrainOptions,
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
    wanted = run_file(TAGGER_RUN, files, given, lists={"teacher": teacher, "untagged": untagged})

    def tell(result: "Training") -> Iterator[str]:
        yield f"kept epoch {result.best.last.epoch} in {quote_path(wanted.files['out'])}"
        for name, reports in (("dev", result.dev), ("test", result.test or {})):
            for column, report in reports.items():
                yield f"{name:4}  {column.upper()} {report}"

    train_and_tell(run_tagger, wanted, given, score="dev accuracy", unit="words", tell=tell)
