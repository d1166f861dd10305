"""Finds the states of a corpus that are nearest to a given one, by rerunning the corpus."""

from typing import Any

import numpy as np
import torch

from hiddenstate.base.indexing import resolve_one
from hiddenstate.base.scalars import check_int
from hiddenstate.corpus.index.build import run_chunks
from hiddenstate.corpus.index.folder import Context, IndexFolder
from hiddenstate.corpus.index.items import Item
from hiddenstate.corpus.search.result import AROUND, Match, Nearest
from hiddenstate.errors import ArgumentError
from hiddenstate.explain.result.terminal import shortened
from hiddenstate.explain.subject.progress_bar import Progress, counted, reporting

MOST_NEAREST = 10_000


@torch.no_grad()
def like(
    index: IndexFolder, item: Item, t: int, places: list[str], k: int, progress: Progress | bool | None = None
) -> Nearest:
    """Find the nearest states; arguments and errors are those of `Index.like`, for a sequence that was already read."""
    count = check_int("k", k)
    if not 1 <= count <= MOST_NEAREST:
        raise ArgumentError(f"k must be in 1..{MOST_NEAREST:,}, got {k}")
    step = resolve_one(t, len(item.tokens), "t")
    wanted = torch.cat([part[step] for part in _states(index, item, places)])
    wanted = wanted / wanted.norm().clamp_min(1e-12)
    best: list[tuple[float, int, int, int]] = []
    with reporting(progress, unit="shards") as report:
        for shard in counted(list(index.shards), report):
            best = sorted([*best, *_of_shard(index, shard, wanted, places, count)])[:count]
    matches = tuple(_match(index, *each) for each in best)
    what = f"{shortened(item.tokens[step])} (step {step})"
    return Nearest(", ".join(places), what, matches, index.steps)


def _states(index: IndexFolder, item: Item, places: list[str]) -> list[Any]:
    parts: list[list[torch.Tensor]] = [[] for _ in places]
    for run in run_chunks(index.reader, [item], places):
        for part, name in zip(parts, places, strict=True):
            part.append(run.trace.values[name][: run.lengths[0], 0].float())
    return [torch.cat(part) for part in parts]


def _of_shard(
    index: IndexFolder, shard: int, wanted: torch.Tensor, places: list[str], k: int
) -> list[tuple[float, int, int, int]]:
    """Return the nearest step of each of the k nearest sequences, as (minus the cosine, shard, sequence, step)."""
    text = index.text(shard)
    items = [index.item(shard, number) for number in range(len(text.starts) - 1)]
    cosines = np.full(text.steps, -np.inf, np.float32)
    for run in run_chunks(index.reader, items, places):
        states = torch.cat([run.trace.values[name].float() for name in places], dim=-1)
        found = (states @ wanted / states.norm(dim=-1).clamp_min(1e-12)).numpy()
        for row, (number, n) in enumerate(zip(run.items, run.lengths, strict=True)):
            at = text.starts[number] + run.start
            cosines[at : at + n] = found[:n, row]
    if not text.steps:
        return []
    highest = np.maximum.reduceat(cosines, text.starts[:-1])
    order = np.argsort(-highest, kind="stable")[:k]
    nearest = []
    for number in order.tolist():
        a, b = text.starts[number : number + 2]
        nearest.append((-float(highest[number]), shard, number, int(cosines[a:b].argmax())))
    return nearest


def _match(index: IndexFolder, minus: float, shard: int, sequence: int, step: int) -> Match:
    tokens = index.text(shard).item(sequence).tokens
    before, after = tokens[max(0, step - AROUND) : step], tokens[step + 1 : step + 1 + AROUND]
    return Match(Context(shard, sequence, step, step + 1), before, tokens[step : step + 1], after, -minus)
