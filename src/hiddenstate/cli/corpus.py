"""``hiddenstate corpus``: real corpora by name."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.text.corpora import CORPORA, Corpus, cache_folder, corpus, get, is_cached

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NAMES = " ".join(CORPORA)


@app.callback()
def corpora() -> None:
    """Fetch real corpora by name. Whatever takes a corpus takes any path as well."""


@app.command("list")
def list_() -> None:
    """List the corpora that are known by name: what each is, its terms, its size, and whether it is here already."""
    for name, known in CORPORA.items():
        typer.echo(name)
        typer.echo(_described(known))
        typer.echo(f"  parts    {' '.join(f'{name}:{part}' for part in known.parts)}")
        typer.echo(f"  cached   {'yes' if is_cached(name) else 'no'}, in {cache_folder() / name}\n")


@app.command("get")
def get_(
    name: Annotated[str, typer.Argument(help=f"One of: {NAMES}.")],
    out: Annotated[
        Path | None, typer.Option(help="Copy it into this folder too.", metavar="DIR", show_default=False)
    ] = None,
) -> None:
    """Fetch a corpus, unless it is here already, check it, and say where it lies.

    Example: hiddenstate corpus get wikitext-2
    """
    typer.echo(_described(corpus(name)))  # its terms first
    for part, path in get(name, out).items():
        typer.echo(f"  {part:8} {path}")


def _described(known: Corpus) -> str:
    return (
        f"  what     {known.title}\n  licence  {known.licence}\n  source   {known.source}\n"
        f"  size     {known.size / 1e6:.1f} MB in {len(known.files)} file{'s' if len(known.files) > 1 else ''}"
    )
