"""``hiddenstate tag`` and ``score`` with a folder as output: a corpus in shards, resumable, in processes or on Dask."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate.cli.outputs import STANDARD, tell
from hiddenstate.errors import ArgumentError

if TYPE_CHECKING:
    from hiddenstate.corpus.shards.plan import Shard

ShardsOption = Annotated[
    bool,
    typer.Option(
        "--shards",
        help="Write a folder of shards to --out. If interrupted, run it again to resume. Implied by globs, by "
        "Parquet files, and if --out is a folder.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(help="Address of a Dask scheduler that runs the shards.", metavar="ADDRESS", show_default=False),
]
ColumnOption = Annotated[str, typer.Option(help="Text column in Parquet files.", metavar="NAME")]


def is_sharded(files: Sequence[str], out: Path | None, shards: bool, cluster: str | None) -> bool:
    """Whether the output is a folder of shards.

    Raises:
        ArgumentError: shards are requested without a folder.
    """
    asking = [name for name, asks in (("--shards", shards), ("--cluster", cluster is not None)) if asks]
    asking += [repr(file) for file in files if _is_many(file)]
    if asking and (out is None or str(out) == STANDARD):
        raise ArgumentError(f"{asking[0]:.200} needs a folder for its output: give one with --out FOLDER")
    return bool(asking) or (out is not None and out.is_dir())


def _is_many(file: str) -> bool:
    """Whether a file is a glob or Parquet, which only sharded runs can read."""
    return file.endswith(".parquet") or (glob.has_magic(file) and not Path(file).exists())


def tag_shards(
    files: Sequence[str],
    model: str,
    out: Path,
    *,
    as_conllu: bool,
    kind: str | None,
    column: str,
    precision: str,
    jobs: int,
    cluster: str | None,
) -> None:
    """Tag files into a folder, a file per shard; raises the errors of reading files and of `run`."""
    from hiddenstate.corpus.fingerprint import model_fingerprint
    from hiddenstate.corpus.shards.plan import expand, plan
    from hiddenstate.corpus.tagging import SHARD_BYTES, TagShards
    from hiddenstate.models.model_folder import load_tagger

    tagger = load_tagger(model)
    paths = expand(files)
    shards = plan(paths, kind=kind, column=column, shard_bytes=SHARD_BYTES)
    task = TagShards(tagger, not as_conllu, precision)
    settings = {"kind": "tag", "conllu": as_conllu, "precision": precision, "model": model_fingerprint(tagger)}
    _run(task, shards, out, paths, settings, jobs, cluster)


def score_shards(files: Sequence[str], model: str, out: Path, *, column: str, jobs: int, cluster: str | None) -> None:
    """Score files into a folder, a file per shard; raises the errors of reading files and of `run`."""
    from hiddenstate.corpus.fingerprint import model_fingerprint
    from hiddenstate.corpus.scoring import ScoreShards, sum_scores
    from hiddenstate.corpus.shards.plan import expand, plan
    from hiddenstate.models.model_folder import load_language_model

    loaded = load_language_model(model)
    if loaded.config.backward:
        raise ArgumentError("this model reads from the end of a text to its beginning, so it can't score a corpus")
    paths = expand(files)
    shards = plan(paths, column=column, shard_bytes=1 << 18)
    task = ScoreShards(loaded)
    _run(task, shards, out, paths, {"kind": "score", "model": model_fingerprint(loaded)}, jobs, cluster)
    tell(f"  {sum_scores(out, shards, task)}")


def _run(
    task: Any,
    shards: "Sequence[Shard]",
    out: Path,
    paths: Sequence[Path],
    settings: Any,
    jobs: int,
    cluster: str | None,
) -> None:
    from hiddenstate.corpus.shards.plan import describe_files
    from hiddenstate.corpus.shards.run import run

    described = {**settings, "files": describe_files(paths, shards)}
    with connected(cluster) as client:
        written = run(task, shards, out, described, workers=jobs, client=client, progress=True)
    count = f"{len(shards):,} shard{'' if len(shards) == 1 else 's'}"
    if written < len(shards):
        count = f"{written:,} of {count}"
    tell(f"wrote {count} to {out}" + ("" if written == len(shards) else "; the others were already there"))


def connected(cluster: str | None) -> Any:
    """Return a context manager with a client of a Dask cluster, or with None.

    Raises:
        MissingDependencyError: distributed is not installed.
        ArgumentError: there is no scheduler at the address.
    """
    from contextlib import nullcontext

    if cluster is None:
        return nullcontext()
    from hiddenstate.base.validation import optional_package

    distributed = optional_package("distributed", "cluster", "--cluster")
    try:
        return distributed.Client(cluster, timeout=10)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"there is no Dask scheduler at {cluster!r}: {error}") from error
