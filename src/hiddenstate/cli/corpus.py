"""``hiddenstate corpus``: real corpora by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli.commands import Command
from hiddenstate.cli.outputs import standard_output

if TYPE_CHECKING:
    from hiddenstate.text.corpora import Corpus

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
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Also copy it to this folder.", metavar="DIR", show_default=False),
    ] = None,
) -> None:
    """Download a corpus unless it is already cached, verify it, and print where it is.

    Example: hiddenstate corpus get wikitext-2
    """
    from hiddenstate.text.corpora import corpus, get

    _print(_described(corpus(name)))  # the licence first
    for part, path in get(name, out).items():
        _print(f"  {part:8} {path}")


def _print(text: str) -> None:
    standard_output(exact=False).write(f"{text}\n")


def _described(known: "Corpus") -> str:
    return (
        f"  what     {known.title}\n  licence  {known.licence}\n  source   {known.source}\n"
        f"  size     {known.size / 1e6:.1f} MB in {len(known.files)} file{'s' if len(known.files) > 1 else ''}"
    )
