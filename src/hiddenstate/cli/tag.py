"""``hiddenstate tag``: tags words in CoNLL-U, in text that is split into words, or in plain text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hiddenstate.cli.conventions import (
    STANDARD,
    LinesOption,
    OutOption,
    Precision,
    TaggerOption,
    check_format,
    check_outputs,
    output,
    tell,
)
from hiddenstate.cli.corpus import ClusterOption, ColumnOption, ShardsOption, is_sharded, tag_shards
from hiddenstate.cli.tag_stream import Batches, Job, TagFormat, Workers, feed
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError

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
    n_best: Annotated[
        int, typer.Option("--n-best", min=0, help="Also show the N most probable taggings of the whole sentence.")
    ] = 0,
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
        if n_best or top_k or chosen not in (None, "conllu"):
            raise ArgumentError(
                "a folder of shards contains Parquet, or CoNLL-U with --format conllu, and only the best tags"
            )
        tag_shards(
            files,
            _model(model),
            out,
            as_conllu=chosen == "conllu",
            kind=kind,
            column=column,
            precision=precision,
            jobs=jobs,
            cluster=cluster,
        )
        return
    check_outputs(out)
    paths = _paths(files)
    job = Job(_model(model), n_best, precision)
    with (
        Workers(job, jobs) as workers,
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
