"""``hiddenstate index``, ``units`` and ``search``: show what units do over a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.outputs import JsonOption, OutOption, check_outputs, output, tell
from hiddenstate.cli.sharded import ClusterOption, ColumnOption, connected

if TYPE_CHECKING:
    from hiddenstate.explain.result.explanation import Explanation

FolderArgument = Annotated[Path, typer.Argument(help="Folder of an index.", metavar="FOLDER", show_default=False)]


def index(
    model: Annotated[str, typer.Argument(help="Model folder, or the name of a shipped model.", metavar="MODEL")],
    files: Annotated[
        list[str],
        typer.Argument(help="CoNLL-U, text or Parquet files, globs, or names of corpora.", metavar="FILE..."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.", metavar="FOLDER", show_default=False)],
    places: Annotated[
        str | None,
        typer.Option(help="Patterns of places, such as '*.h,*.f'.", metavar="PATTERNS", show_default="all states"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Column of CoNLL-U with the labels; for a text: character.", metavar="NAME", show_default=False
        ),
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
        made = make(
            loaded, files, out, places=places, labels=labels, column=column, workers=jobs, client=client, progress=True
        )
    tell(f"wrote {out} ({made.steps:,} steps)")


def units(
    folder: FolderArgument,
    unit: Annotated[
        str | None, typer.Argument(help="One unit, such as l1.c[125].", metavar="UNIT", show_default=False)
    ] = None,
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
    query: Annotated[str, typer.Argument(help="What to search for.", metavar="QUERY", show_default=False)],
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
