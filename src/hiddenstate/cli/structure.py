"""``hiddenstate structure``, ``export`` and ``version``: what is in a model, and what computes it."""

import platform
from dataclasses import asdict
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.conventions import (
    JsonOption,
    OutOption,
    check_outputs,
    json_text,
    output,
    save_plot,
    standard_output,
    wrote,
)
from hiddenstate.cli.terminal import console
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.structure.structure import Structure

DEFAULT_WORDS = "Giraffes in a field"
MOST_LAYERS = 1024  # each layer takes a dozen lines
SUFFIX = ".safetensors"  # as in `models.model_file`, which loads torch


def structure(
    model: Annotated[
        Path | None, typer.Argument(help="Folder, file or name of a model; without one, give sizes.", metavar="MODEL")
    ] = None,
    input_size: Annotated[int | None, typer.Option(help="Input features per time step, C.")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Hidden units, H.")] = None,
    num_layers: Annotated[int, typer.Option(help="Layers, L.", max=MOST_LAYERS)] = 1,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Whether gates have biases.")] = True,
    bidirectional: Annotated[bool, typer.Option("--bidirectional", help="Read in both directions.")] = False,
    proj_size: Annotated[int, typer.Option(help="Projected units, P; 0: no projection.")] = 0,
    as_json: JsonOption = False,
    out: OutOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the LSTM unrolled over words, as a PNG, SVG or PDF.", metavar="FILE")
    ] = None,
    words: Annotated[str | None, typer.Option(help=f"Sentence for --plot; default: {DEFAULT_WORDS!r}.")] = None,
) -> None:
    """Show an LSTM's structure: every gate's weights, shapes, equation and place in torch's parameters.

    Examples: hiddenstate structure --input-size 4 --hidden-size 3; hiddenstate structure my-tagger --json
    """
    if words is not None and plot is None:
        raise ArgumentError("--words is only used by --plot; add --plot FILE, or drop --words")
    check_outputs(out, plot=plot)
    if model is None:
        described = _of_sizes(input_size, hidden_size, num_layers, bias, bidirectional, proj_size)
    else:
        sizes = {"--input-size": input_size, "--hidden-size": hidden_size, "--num-layers": num_layers != 1}
        sizes |= {"--no-bias": not bias, "--bidirectional": bidirectional, "--proj-size": proj_size}
        described = _of_model(model, [option for option, value in sizes.items() if value])
    if plot is not None:
        save_plot(described.plot((DEFAULT_WORDS if words is None else words).split()), plot)
    with output(out, exact=as_json) as stream:
        if as_json:
            data = {"sizes": asdict(described.sizes), "count": described.count, "counts": described.counts}
            stream.write(json_text({**data, "weights": described.to_dicts()}))
        elif stream.isatty():  # in colour; anywhere else at full width
            console(stream).print(described)
        else:
            stream.write(f"{described}\n")


def _of_model(folder: Path, sizes: list[str]) -> "Structure":
    """Describe a layer, or that of a language model, a series model or a tagger (the word-level one)."""
    from hiddenstate.models.model_folder import load
    from hiddenstate.models.series.series_model import SeriesModel
    from hiddenstate.nn.rnn import Layer

    if sizes:
        raise ArgumentError(f"the model in {folder} has its own sizes; drop {' '.join(sizes)}, or the model")
    saved = load(folder)
    if isinstance(saved, SeriesModel):
        return saved.module.rnn.structure()  # type: ignore[operator, union-attr]
    return (saved if isinstance(saved, Layer) else saved.lstm).structure()


def _of_sizes(input_size: int | None, hidden_size: int | None, *options: Any) -> "Structure":
    from hiddenstate.structure.sizes import Sizes
    from hiddenstate.structure.structure import structure_of

    if input_size is None or hidden_size is None:
        raise ArgumentError("nothing to describe: name a model, or give --input-size and --hidden-size")
    return structure_of(Sizes(input_size, hidden_size, *options))


def export(
    model: Annotated[Path, typer.Argument(help="Folder or name of a model.", metavar="MODEL")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help=f"File to write; its name ends in {SUFFIX}.", metavar="FILE")
    ],
) -> None:
    """Write a model as one file, which hiddenstate-runtime reads without torch.

    Example: hiddenstate export tagger-en -o tagger.safetensors
    """
    if out.suffix != SUFFIX:
        raise ArgumentError(f"a model file's name must end in {SUFFIX}, got {out.name}")
    check_outputs(out)
    from hiddenstate.models.model_folder import load_any, save

    save(load_any(model), out)
    wrote(out)


def version() -> None:
    """Show versions, CPU features and the engine in use."""
    import torch

    from hiddenstate.engine import kernels

    lines = {
        "hiddenstate": installed("hiddenstate"),
        "python": platform.python_version(),
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "native module": kernels.version() or kernels.absence,
        "CPU": f"{kernels.machine()} {' '.join(kernels.cpu_features()) or '(features unknown)'}",
        "engine": _engine(),
    }
    standard_output(exact=False).writelines(f"{name:14} {value}\n" for name, value in lines.items())


def _engine() -> str:
    """Describe the engine that computes an ordinary call."""
    from hiddenstate.engine import kernels

    if kernels.isa() is None:
        return "torch's kernels, and the reference path (plain torch) where they have none"
    native = f"native, {kernels.isa()} (of {', '.join(kernels.isas())}), for float32, float64 and bfloat16 on CPU"
    int8 = kernels.int8()
    return native if int8 is None else f"{native}; {int8.native.isa} for int8 weights"
