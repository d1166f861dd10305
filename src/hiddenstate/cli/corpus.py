"""``hiddenstate corpus``, ``index``, ``units`` and ``search``; shards in a folder for ``tag`` and ``score``."""

import glob
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.conventions import (
    STANDARD,
    Command,
    JsonOption,
    OutOption,
    check_outputs,
    output,
    standard_output,
    tell,
)
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.corpus.shards.plan import Shard
    from hiddenstate.explain.result.explanation import Explanation
    from hiddenstate.text.corpora import Corpus

ShardsOption = Annotated[
    bool,
    typer.Option(
        "--shards",
        help="Write a folder of shards to --out. If interrupted, run it again to resume. Implied by globs, by "
        "Parquet files, and if --out is a folder.",
    ),
]
ClusterOption = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler that runs the shards.", metavar="ADDRESS")
]
ColumnOption = Annotated[str, typer.Option(help="Text column in Parquet files.", metavar="NAME")]
FolderArgument = Annotated[Path, typer.Argument(help="Folder of an index.", metavar="FOLDER")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def corpora() -> None:
    """Download real corpora by name. Every option that takes a corpus also takes a path."""


@app.command("list", cls=Command)
def list_() -> None:
    """List the known corpora: what each contains, its licence and size, and whether it is already downloaded."""
    from hiddenstate.text.corpora import CORPORA, cache_folder, is_cached

    for name, known in CORPORA.items():
        parts = " ".join(f"{name}:{part}" for part in known.parts)
        cached = f"{'yes' if is_cached(name) else 'no'}, in {cache_folder() / name}"
        _print(f"{name}\n{_described(known)}\n  parts    {parts}\n  cached   {cached}\n")


@app.command("get", cls=Command)
def get_(
    name: Annotated[
        str, typer.Argument(help="Name of the corpus; `hiddenstate corpus list` lists them.", metavar="NAME")
    ],
) -> None:
    """Download a corpus unless it is already cached, verify it, and print where it is.

    Example: hiddenstate corpus get wikitext-2
    """
    from hiddenstate.text.corpora import corpus, get

    _print(_described(corpus(name)))  # the licence first
    for part, path in get(name).items():
        _print(f"  {part:8} {path}")


def _print(text: str) -> None:
    standard_output(exact=False).write(f"{text}\n")


def _described(known: "Corpus") -> str:
    return (
        f"  what     {known.title}\n  licence  {known.licence}\n  source   {known.source}\n"
        f"  size     {known.size / 1e6:.1f} MB in {len(known.files)} file{'s' if len(known.files) > 1 else ''}"
    )


def index(
    model: Annotated[str, typer.Argument(help="Model folder, or the name of a shipped model.", metavar="MODEL")],
    files: Annotated[
        list[str], typer.Argument(help="CoNLL-U, text or Parquet files, globs, or names of corpora.", metavar="FILE...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.", metavar="FOLDER")],
    places: Annotated[
        str | None,
        typer.Option(help="Patterns of places, such as '*.h,*.f'.", metavar="PATTERNS", show_default="all states"),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Column of CoNLL-U with the labels; for a text: character.", metavar="NAME")
    ] = None,
    column: ColumnOption = "text",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Number of processes.")] = 1,
    cluster: ClusterOption = None,
) -> None:
    """Index a corpus: statistics, contexts and labels of every unit. If interrupted, run it again to resume.

    Example: hiddenstate index tagger-en corpus.conllu -o corpus.index
    """
    from hiddenstate.corpus.opened import index as make
    from hiddenstate.models.model_folder import load_any

    loaded = load_any(model)
    with connected(cluster) as client:
        written = make(
            loaded, files, out, places=places, labels=labels, column=column, workers=jobs, client=client, progress=True
        )
    tell(f"wrote {out} ({written.steps:,} steps)")


def units(
    folder: FolderArgument,
    unit: Annotated[str | None, typer.Argument(help="One unit, such as l1.c[125].", metavar="UNIT")] = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Show all units of an index, or the card of one: contexts, distribution, label, and what zeroing it does.

    Example: hiddenstate units corpus.index "l1.h[12]"
    """
    check_outputs(out)
    from hiddenstate.corpus.opened import open_index

    opened = open_index(folder)
    _give(opened.units() if unit is None else opened.unit(unit), as_json, out)


def search(
    folder: FolderArgument,
    query: Annotated[str, typer.Argument(help="What to search for.", metavar="QUERY")],
    limit: Annotated[int, typer.Option(min=0, max=100_000, help="Number of matches to show.")] = 10,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Find the spans of a corpus that match a query, exactly.

    Separate conditions by commas. After the first, "for 3.." sets the length of a span; "before" and "after" refer to
    the steps next to it. Tokens and labels work, too: label = NOUN after 1..3.

    Example: hiddenstate search corpus.index "l1.h[12] > .5 for 3.., l0.h[7] < .1 before"
    """
    check_outputs(out)
    from hiddenstate.corpus.opened import open_index

    _give(open_index(folder).search(query, limit=limit, progress=True), as_json, out)


def _give(result: "Explanation", as_json: bool, out: Path | None) -> None:
    with output(out, exact=as_json) as stream:
        stream.write(result.to_json() if as_json else f"{result}\n")


def is_sharded(files: Sequence[str], out: Path | None, shards: bool, cluster: str | None) -> bool:
    """Whether the output is a folder of shards; reject a request for shards without a folder."""
    asking = [name for name, asks in (("--shards", shards), ("--cluster", cluster is not None)) if asks]
    asking += [repr(file) for file in files if _is_many(file)]
    if asking and (out is None or str(out) == STANDARD):
        raise ArgumentError(f"{asking[0]:.200} needs a folder for its output: give one with --out FOLDER")
    return bool(asking) or (out is not None and out.is_dir())


def _is_many(file: str) -> bool:
    """Whether a file is a glob or Parquet, which only sharded runs can read."""
    return file.endswith(".parquet") or (glob.has_magic(file) and not Path(file).exists())


def write_shards(
    task: Any,
    model: Any,
    files: Sequence[str],
    out: Path,
    settings: dict[str, Any],
    *,
    jobs: int,
    cluster: str | None,
    **options: Any,
) -> "Sequence[Shard]":
    """Write the results of a model's task into a folder, a file per shard; ``options`` are those of `plan`."""
    from hiddenstate.corpus.index.readers import model_fingerprint
    from hiddenstate.corpus.shards.plan import describe_files, expand, plan
    from hiddenstate.corpus.shards.run import run

    paths = expand(files)
    shards = plan(paths, **options)
    described = {**settings, "model": model_fingerprint(model), "files": describe_files(paths, shards)}
    with connected(cluster) as client:
        written = run(task, shards, out, described, workers=jobs, client=client, progress=True)
    count = f"{len(shards):,} shard{'' if len(shards) == 1 else 's'}"
    if written < len(shards):
        count = f"{written:,} of {count}"
    tell(f"wrote {count} to {out}" + ("" if written == len(shards) else "; the others were already there"))
    return shards


def connected(cluster: str | None) -> Any:
    """Return a context manager with a client of a Dask cluster, or with None."""
    if cluster is None:
        return nullcontext()
    from hiddenstate.base.validation import optional_package

    distributed = optional_package("distributed", "cluster", "--cluster")
    try:
        return distributed.Client(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"there is no Dask scheduler at {cluster!r}: {error}") from error
