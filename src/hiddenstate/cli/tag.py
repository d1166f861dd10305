"""``hiddenstate tag`` and ``evaluate``: tag words in CoNLL-U or plain text; measure a tagger on a CoNLL-U file."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hiddenstate.cli.conventions import (
    STANDARD,
    JsonOption,
    LinesOption,
    OutOption,
    PlotOption,
    Precision,
    TaggerOption,
    check_format,
    check_outputs,
    json_text,
    output,
    save_plot,
    tell,
)
from hiddenstate.cli.corpus import ClusterOption, ColumnOption, ShardsOption, is_sharded, write_shards
from hiddenstate.cli.tag_stream import Batches, TagFormat, Workers, feed
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.text.conllu import Sentence, read_conllu

if TYPE_CHECKING:
    from hiddenstate.models.tagger.accuracy import Report
    from hiddenstate.models.tagger.tagger import Tagger

TagInput = Literal["conllu", "tokens", "text"]


def tag(
    files: Annotated[
        list[str],
        typer.Argument(
            help="CoNLL-U or text files, or parts of corpora, such as ud-english-ewt:test; - reads standard input.",
            metavar="FILE|-...",
        ),
    ],
    model: TaggerOption = None,
    format_: Annotated[
        TagFormat | None,
        typer.Option("--format", help="Output format; default: that of the input (conllu; a table for text)."),
    ] = None,
    as_json: LinesOption = False,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tags per word, the most probable first. Default: 3 for table (1 if the model has several columns), "
            "all for jsonl, and only the tag for conllu (if set, the probabilities go into MISC).",
        ),
    ] = None,
    out: OutOption = None,
    input_: Annotated[
        TagInput | None,
        typer.Option(
            "--input",
            help="Input format: conllu, tokens (one sentence per line, words separated by spaces) or text. Default: by "
            "file name (.conllu, .tokens, .tok), else by content (conllu or text).",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Number of processes, each with a copy of the model.")
    ] = 1,
    precision: Annotated[Precision, typer.Option(help="bf16 is faster on CPUs with bfloat16.")] = "fp32",
    shards: ShardsOption = False,
    cluster: ClusterOption = None,
    column: ColumnOption = "text",
) -> None:
    """Tag every word with a distribution over tags, for each column that the model has.

    Everything else in CoNLL-U is kept. Plain text is first split into sentences (one per line, if there are several
    lines) and words. Sentences are written as they are tagged, even while input is still arriving. If --out is a
    folder, a corpus is tagged in shards.

    Example: tail -f log.txt | hiddenstate tag -
    """
    check_format(format_, as_json, "jsonl")
    chosen: TagFormat | None = "jsonl" if as_json else format_
    kind = input_
    if is_sharded(files, out, shards, cluster):
        assert out is not None
        if top_k or chosen not in (None, "conllu"):
            raise ArgumentError(
                "a folder of shards contains Parquet, or CoNLL-U with --format conllu, and only the best tags"
            )
        from hiddenstate.corpus.tasks import SHARD_BYTES, TagShards
        from hiddenstate.models.model_folder import load_tagger

        tagger, as_conllu = load_tagger(_model(model)), chosen == "conllu"
        task, settings = TagShards(tagger, not as_conllu, precision), {"kind": "tag", "conllu": as_conllu}
        settings["precision"] = precision
        options = {"kind": kind, "column": column, "shard_bytes": SHARD_BYTES}
        write_shards(task, tagger, files, out, settings, jobs=jobs, cluster=cluster, **options)
        return
    check_outputs(out)
    paths = _paths(files)
    with (
        Workers(_model(model), precision, jobs) as workers,
        output(out, exact=True) as stream,
        _progress(out is not None or not stream.isatty()) as show,
    ):
        batches = Batches(workers, stream, show, chosen, top_k)
        for path in paths:
            feed(path, kind, batches)
        batches.flush()
    if out is not None:
        tell(f"  {batches.sentences:,} sentences, {batches.words:,} words")


def _model(model: Path | None) -> str:
    from hiddenstate.models.model_folder import shipped

    return str(model or shipped())


def _paths(files: list[str]) -> list[str]:
    """Return the files' paths, and reject unreadable ones before the first is tagged."""
    from hiddenstate.text.corpora import corpus_path

    paths = [file if file == STANDARD else str(corpus_path(file)) for file in files]
    for path in paths:
        if path != STANDARD:
            Path(path).open("rb").close()
    return paths


@contextmanager
def _progress(is_wanted: bool) -> Iterator[Callable[[int], None]]:
    """Show how many sentences have been tagged, if standard error is a terminal."""
    screen = console(stderr=True)
    columns = SpinnerColumn("line"), TextColumn("{task.completed:,.0f} sentences"), TimeElapsedColumn()
    with Progress(*columns, console=screen, transient=True, disable=not (is_wanted and screen.is_terminal)) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.update(task, completed=count)


def evaluate_command(
    file: Annotated[Path, typer.Argument(help="CoNLL-U file with tags, or part of a corpus.", metavar="FILE")],
    model: TaggerOption = None,
    train: Annotated[
        Path | None,
        typer.Option(
            help="CoNLL-U file that the model was trained on: words not in it count as unknown. Without it, words "
            "missing from the model's vocabulary count as unknown.",
            metavar="FILE",
        ),
    ] = None,
    tags: Annotated[int, typer.Option(min=0, help="Number of tags to list, the most frequent first.")] = 20,
    confusions: Annotated[int, typer.Option(min=0, help="Number of confusions to list, the most frequent first.")] = 10,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: PlotOption = None,
) -> None:
    """Measure a tagger's accuracy on a tagged file: overall, on unknown words, and for each tag.

    Example: hiddenstate evaluate dev.conllu --model my-tagger
    """
    check_outputs(out, plot=plot)
    from hiddenstate.models.model_folder import load_tagger, shipped
    from hiddenstate.models.tagger.accuracy import distinct_words, evaluate
    from hiddenstate.text.corpora import corpus_path

    sentences, tagger = read_conllu(corpus_path(file)), load_tagger(model or shipped())
    known = _known(tagger, sentences) if train is None else distinct_words(read_conllu(corpus_path(train)))
    reports = {c: report for c, report in evaluate(tagger, sentences, known).items() if report.accuracy.words}
    if not reports:
        columns = " or ".join(column.upper() for column in tagger.columns)
        raise FileFormatError(f"{file}: no word has a tag in column {columns}; give a tagged CoNLL-U file")
    with output(out, exact=as_json) as stream:
        if as_json:
            temperatures = tagger.temperatures
            stream.write(json_text({column: _data(report, temperatures[column]) for column, report in reports.items()}))
        else:
            screen = console(stream)
            for column, report in reports.items():
                _show(screen, column, report, tagger.temperatures[column], tags, confusions)
    if plot is not None:
        from hiddenstate.models.tagger.accuracy import plot_reports

        save_plot(plot_reports(reports), plot)


def _known(tagger: "Tagger", sentences: Sequence[Sentence]) -> set[str]:
    from hiddenstate.models.tagger.accuracy import distinct_words

    encoder = tagger.encoder
    return {form for form in distinct_words(sentences) if encoder.looked_up(form) in encoder.words}


def _show(screen: Console, column: str, report: "Report", temperature: float, tags: int, confusions: int) -> None:
    screen.print(f"{column.upper()}  {report}", style="bold")
    text = f"Confidence: expected calibration error {100 * report.calibration.error:.2f} %"
    if temperature != 1:
        text += f", {100 * report.uncalibrated.error:.2f} % without its temperature of {temperature:.3f}"
    screen.print(text)
    if report.unseen:
        screen.print(f"Tags that were not in the training data: {report.unseen} words, none of which can be right")
    if tags:
        rows = [
            [tag.tag, f"{tag.wanted:,}", *map(_percent, (tag.precision, tag.recall, tag.f1))]
            for tag in report.by_tag[:tags]
        ]
        screen.print(_table(["tag"], ["words", "precision", "recall", "F1"], rows))
    if confusions and (wrong := _confusions(report)):
        rows = [[wanted, predicted, f"{count:,}"] for (wanted, predicted), count in wrong[:confusions]]
        screen.print(_table(["wanted", "given"], ["words"], rows))


def _table(names: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), collapse_padding=True)
    for name in names:
        table.add_column(name, style="cyan")
    for name in numbers:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _confusions(report: "Report") -> list[tuple[tuple[str, str], int]]:
    """Return the most frequent confusions: correct tag, predicted tag and count."""
    wrong = [(pair, count) for pair, count in report.confusions.items() if pair[0] != pair[1]]
    return sorted(wrong, key=lambda item: (-item[1], item[0]))


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.2f}"


def _data(report: "Report", temperature: float) -> dict[str, Any]:
    accuracy = report.accuracy
    return {
        "words": accuracy.words,
        "correct": accuracy.correct,
        "accuracy": accuracy.share,
        "unknown_words": accuracy.unknown_words,
        "unknown_correct": accuracy.unknown_correct,
        "unknown_accuracy": accuracy.unknown_share if accuracy.unknown_words else None,
        "words_of_unseen_tags": report.unseen,
        "temperature": temperature,
        "calibration_error": report.calibration.error,
        "calibration_error_without_temperature": report.uncalibrated.error,
        "confidence": [vars(bin_) for bin_ in report.calibration.bins],
        "tags": {
            tag.tag: {
                "words": tag.wanted,
                "given": tag.given,
                "correct": tag.correct,
                "precision": tag.precision if tag.given else None,
                "recall": tag.recall if tag.wanted else None,
                "f1": tag.f1,
            }
            for tag in report.by_tag
        },
        "confusions": [{"wanted": w, "given": g, "words": count} for (w, g), count in _confusions(report)],
    }
