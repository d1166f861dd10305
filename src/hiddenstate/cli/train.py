"""``hiddenstate train``: train a model from files."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.commands import Command
from hiddenstate.cli.run_options import (
    AboutOption,
    ConfigOption,
    LicenceOption,
    PlotOption,
    PrecisionOption,
    ResumeOption,
    RunOption,
    chosen,
    quote_path,
    run_file,
    settings_option,
    train_and_tell,
)
from hiddenstate.models.tagger.config import TaggerConfig

if TYPE_CHECKING:
    from hiddenstate.models.tagger.training import Training

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

DEFAULT = TaggerConfig()


@app.callback()
def train() -> None:
    """Train a model from files."""


@app.command(cls=Command)
def tagger(
    train: Annotated[Path | None, typer.Option(help="CoNLL-U file to learn from.", metavar="FILE")] = None,
    dev: Annotated[Path | None, typer.Option(help="CoNLL-U file that chooses the best epoch.", metavar="FILE")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the model.", metavar="DIR")] = None,
    test: Annotated[
        Path | None, typer.Option(help="CoNLL-U file to measure the finished model on.", metavar="FILE")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="CoNLL-U columns to learn, all at once: upos, xpos, feats or any other, commas between.",
            show_default=",".join(DEFAULT.columns),
        ),
    ] = None,
    forward_model: Annotated[
        Path | None,
        typer.Option(help="Character language model whose states are a further input.", metavar="DIR"),
    ] = None,
    backward_model: Annotated[
        Path | None, typer.Option(help="Another that reads backwards; both or none.", metavar="DIR")
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="A trained tagger whose probabilities are learnt too, again and again: their mean.", metavar="DIR"
        ),
    ] = None,
    untagged: Annotated[
        list[Path] | None,
        typer.Option(help="More text, CoNLL-U or plain, that the teachers tag; again and again.", metavar="FILE"),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="A trained tagger of the same sizes and tags that training begins with.", metavar="DIR"),
    ] = None,
    config: ConfigOption = None,
    resume: ResumeOption = None,
    run: RunOption = None,
    plot: PlotOption = None,
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
    precision: PrecisionOption = None,
    settings: Annotated[list[str] | None, settings_option(TaggerConfig)] = None,
    about_data: AboutOption = None,
    licence: LicenceOption = None,
) -> None:
    """Train a part-of-speech tagger on CoNLL-U files.

    The folder holds the best model so far at all times, and Ctrl-C loses nothing: --resume goes on.
    """
    from hiddenstate.models.tagger.training import RUN_FILE, run_tagger

    options = {
        "columns": columns,
        "epochs": epochs,
        "seed": seed,
        "learning_rate": learning_rate,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "word_size": word_size,
        "batch_words": batch_words,
        "precision": precision,
    }
    wanted = run_file(
        RUN_FILE,
        {
            "train": train,
            "dev": dev,
            "test": test,
            "out": out,
            "forward_model": forward_model,
            "backward_model": backward_model,
            "start": start,
        },
        {"about_data": about_data, "licence": licence},
        chosen(options, settings),
        config,
        resume,
        lists={"teacher": teacher, "untagged": untagged},
    )

    def tell(result: "Training") -> Iterator[str]:
        yield f"kept epoch {result.best.last.epoch} in {quote_path(wanted.files['out'])}"
        for name, reports in (("dev", result.dev), ("test", result.test or {})):
            for column, report in reports.items():
                yield f"{name:4}  {column.upper()} {report}"

    train_and_tell(run_tagger, wanted, run=run, resume=resume, plot=plot, score="dev accuracy", unit="words", tell=tell)
