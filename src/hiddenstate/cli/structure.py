"""``hiddenstate structure``: the weights of an LSTM by gate, as a table, JSON or a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hiddenstate.cli.outputs import check_outputs
from hiddenstate.errors import ArgumentError
from hiddenstate.models.folder import load
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import Structure, structure_of

DEFAULT_WORDS = "Giraffes in a field"
MOST_LAYERS = 1024  # each has a dozen lines


def structure(
    model: Annotated[
        Path | None, typer.Argument(help="Folder of a tagger; without it, give sizes.", show_default=False)
    ] = None,
    input_size: Annotated[int | None, typer.Option(help="Features of one input step, C.", show_default=False)] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Hidden units, H.", show_default=False)] = None,
    num_layers: Annotated[int, typer.Option(help="Layers, L.", max=MOST_LAYERS)] = 1,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Whether gates have biases.")] = True,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read in both directions.")] = False,
    proj_size: Annotated[int, typer.Option(help="Units that h is projected to, P; 0: no projection.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also draw the network unrolled over words: a PNG, SVG or PDF.", show_default=False),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help=f"Sentence for --plot; without it, {DEFAULT_WORDS!r}.", show_default=False)
    ] = None,
) -> None:
    """Show what an LSTM is made of: every gate's weight, its shape, equation and place in torch's parameters.

    Examples: hiddenstate structure --input-size 4 --hidden-size 3; hiddenstate structure my-tagger --json
    """
    if words is not None and plot is None:
        raise ArgumentError("--words are drawn by --plot, and there is none; add --plot FILE, or drop --words")
    check_outputs(plot=plot)
    if model is not None:
        own = {"--input-size": input_size, "--hidden-size": hidden_size, "--num-layers": num_layers != 1}
        own |= {"--no-bias": not bias, "--bidirectional": bidirectional, "--proj-size": proj_size}
        found = _of_model(model, [option for option, given in own.items() if given])
    else:
        found = _of_sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size)
    if plot is not None:
        _draw(found, plot, DEFAULT_WORDS if words is None else words)
    _show(found, as_json)


def _of_model(folder: Path, sizes: list[str]) -> Structure:
    """Describe the LSTM over the words of a tagger, which leaves no say to options for sizes."""
    if sizes:
        raise ArgumentError(f"the model in {folder} has its own sizes; drop {' '.join(sizes)}, or the model")
    return load(folder).lstm.structure()


def _of_sizes(input_size: int | None, hidden_size: int | None, *options: Any) -> Structure:
    if input_size is None or hidden_size is None:
        raise ArgumentError("which LSTM? Name the folder of a model, or give --input-size and --hidden-size")
    return structure_of(Sizes(input_size, hidden_size, *options))


def _draw(found: Structure, path: Path, sentence: str) -> None:
    found.plot(sentence.split(), path=path)
    typer.echo(f"wrote {path}", err=True)


def _show(found: Structure, as_json: bool) -> None:
    """Print JSON, or the table: with colours on a terminal, as wide as it needs to be anywhere else."""
    if as_json:
        data = {"sizes": asdict(found.sizes), "count": found.count, "counts": found.counts}
        typer.echo(json.dumps({**data, "weights": found.to_dicts()}, indent=2, ensure_ascii=False))
        return
    console = Console()
    if console.is_terminal:
        console.print(found)
    else:
        typer.echo(str(found))
