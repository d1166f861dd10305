"""``hiddenstate export``: writes a model as one file, for the runtime, C and JavaScript."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli.outputs import check_outputs, wrote
from hiddenstate.errors import ArgumentError

SUFFIX = ".safetensors"  # as in `models.model_file`, which loads torch


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
