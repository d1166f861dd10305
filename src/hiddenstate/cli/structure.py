"""``hiddenstate structure``: shows the weights of an LSTM by gate, as a table, JSON or a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.outputs import JsonOption, OutOption, check_outputs, output, save_plot
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.structure.structure import Structure

DEFAULT_WORDS = "Giraffes in a field"
MOST_LAYERS = 1024  # each layer takes a dozen lines


def structure(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder, file or name of a model; without one, give sizes.", metavar="MODEL", show_default=False
        ),
    ] = None,
    input_size: Annotated[int | None, typer.Option(help="Input features per time step, C.", show_default=False)] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Hidden units, H.", show_default=False)] = None,
    num_layers: Annotated[int, typer.Option(help="Layers, L.", max=MOST_LAYERS)] = 1,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Whether gates have biases.")] = True,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read in both directions.")] = False,
    proj_size: Annotated[int, typer.Option(help="Projected units, P; 0: no projection.")] = 0,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the LSTM unrolled over words, as a PNG, SVG or PDF.", metavar="FILE", show_default=False
        ),
    ] = None,
    words: Annotated[
        str | None, typer.Option(help=f"Sentence for --plot; default: {DEFAULT_WORDS!r}.", show_default=False)
    ] = None,
) -> None:
    """Show an LSTM's structure: every gate's weights, shapes, equation and place in torch's parameters.

    Examples: hiddenstate structure --input-size 4 --hidden-size 3; hiddenstate structure my-tagger --json
    """
    if words is not None and plot is None:
        raise ArgumentError("--words is only used by --plot; add --plot FILE, or drop --words")
    check_outputs(out, plot=plot)
    if model is not None:
        own = {"--input-size": input_size, "--hidden-size": hidden_size, "--num-layers": num_layers != 1}
        own |= {"--no-bias": not bias, "--bidirectional": bidirectional, "--proj-size": proj_size}
        found = _of_model(model, [option for option, given in own.items() if given])
    else:
        found = _of_sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size)
    if plot is not None:
        save_plot(found.plot((DEFAULT_WORDS if words is None else words).split()), plot)
    _show(found, as_json, out)


def _of_model(folder: Path, sizes: list[str]) -> "Structure":
    """Describe a layer, the LSTM of a language model, or a tagger's word-level LSTM, which have their own sizes."""
    from hiddenstate.models.model_folder import load
    from hiddenstate.nn.rnn import Layer

    if sizes:
        raise ArgumentError(f"the model in {folder} has its own sizes; drop {' '.join(sizes)}, or the model")
    saved = load(folder)
    return (saved if isinstance(saved, Layer) else saved.lstm).structure()


def _of_sizes(input_size: int | None, hidden_size: int | None, *options: Any) -> "Structure":
    from hiddenstate.structure.sizes import Sizes
    from hiddenstate.structure.structure import structure_of

    if input_size is None or hidden_size is None:
        raise ArgumentError("nothing to describe: name a model, or give --input-size and --hidden-size")
    return structure_of(Sizes(input_size, hidden_size, *options))


def _show(found: "Structure", as_json: bool, out: Path | None) -> None:
    """Write JSON, or the table: coloured on a terminal, at full width anywhere else."""
    with output(out, exact=as_json) as stream:
        if as_json:
            data = {"sizes": asdict(found.sizes), "count": found.count, "counts": found.counts}
            stream.write(json.dumps({**data, "weights": found.to_dicts()}, indent=2, ensure_ascii=False) + "\n")
        elif stream.isatty():
            console(stream).print(found)
        else:
            stream.write(f"{found}\n")
