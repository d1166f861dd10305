"""A corpus: index, tags by shards, search, bits of a unit, table of units, two Dask workers, pages of the studio.

    python benchmarks/corpus_speed.py --text FILE.conllu [--parts index memory tag search bits units cluster pages]

The text is repeated to a million words; its index stays in --folder for the next run. Speeds are ratios within one run,
in turns; of index and tags also by CPU seconds, which other programs change less.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

import hiddenstate as hs
import machine
from hiddenstate.corpus.index.build import ABOVE, ROWS_TOGETHER, IndexShards
from hiddenstate.corpus.index.readers import array_shards, make_reader
from hiddenstate.corpus.shards.plan import plan
from hiddenstate.corpus.shards.run import run
from hiddenstate.corpus.tasks import SHARD_BYTES, TagShards
from hiddenstate.models.model_folder import load_tagger
from hiddenstate.text.conllu import read_conllu
from page_speed import first_sight

WORDS = 1_000_000
STEPS = 100_000_000  # of the corpus whose bits are read
QUERIES = (
    "l1.h[44] > .5",
    "l1.h[44] > .5 for 2.., label = VERB after 1..3",
    "l0.h[7] < -.5, l1r.h[100] > .5 before",
    "not (l1.h[3] > .5 or l0r.h[9] <= -.5) for 3.., token = the before",
)
SCROLL = """async (id) => {
  const list = document.querySelector(id), times = [];
  let last = performance.now();
  for (let k = 0; k < 240; k++) {
    list.scrollTop += 45; await new Promise(requestAnimationFrame);
    times.push(performance.now() - last); last = performance.now();
  }
  times.sort((a, b) => a - b);
  return [times[120], times[228]];
}"""


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and CPU seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(theirs: Callable[[], object], ours: Callable[[], object], turns: int) -> str:
    """The speed of ours over theirs, by the clock and by CPU seconds; medians of turns."""
    theirs(), ours()
    times = [(timed(theirs), timed(ours)) for _ in range(turns)]
    clock, cpu = (median(a[k] / b[k] for a, b in times) for k in (0, 1))
    return f"{clock:.1%} by the clock, {cpu:.1%} by CPU"


def index_speed(_: argparse.Namespace, folder: Path) -> str:
    """All places of 2 x 256 units, beside batches that are only run."""
    torch.manual_seed(0)
    lstm, rng = hs.LSTM(256, 256, 2).eval(), np.random.default_rng(0)
    lengths = sorted(rng.integers(5, 60, 512).tolist(), reverse=True)
    xs = [torch.randn(n, 256) for n in lengths]
    reader = make_reader(lstm, xs, labels=[["ABCDEFGHIJKLMNOPQ"[k % 17] for k in range(n)] for n in lengths])
    places = tuple(name for names in lstm.sizes.places for name in names)
    task = IndexShards(reader, places, {place: (-0.5, 0.5) for place in places if place.endswith("h")})
    (shard,) = array_shards(reader)
    items = reader.items(shard)

    @torch.no_grad()
    def plain() -> None:
        for at in range(0, len(items), ROWS_TOGETHER):
            rows = items[at : at + ROWS_TOGETHER]
            given = torch.tensor([len(item.tokens) for item in rows])
            lstm(reader.inputs(rows, 0, int(given.max())), lengths=given)

    def whole() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            task(shard, Path(inside) / "0")

    return "index, share of the plain forward's words a second: " + compare(plain, whole, 5)


def memory(options: argparse.Namespace, folder: Path) -> str:
    """The peak of a process that indexes all places of a fifth of the text, and of all of it."""
    whole, fifth = Path(options.text), folder / "fifth.conllu"
    sentences = whole.read_text("utf-8").split("\n\n")
    fifth.write_text("\n\n".join(sentences[: len(sentences) // 5]) + "\n\n", "utf-8")
    code = (
        "import resource, sys, hiddenstate as hs\n"
        "hs.index(hs.load(sys.argv[1]), sys.argv[2], sys.argv[3], places='*')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for text in (fifth, whole):
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            command = [sys.executable, "-c", code, options.model, str(text), f"{inside}/index"]
            peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    return f"index of all places, peak of {peaks[0]:.0f} MB for a fifth of the text, {peaks[1]:.0f} MB for all of it"


def tag_speed(options: argparse.Namespace, folder: Path) -> str:
    """A corpus by shards, in one process, beside `Tagger.tag` of its sentences; both in one thread."""
    tagger, text = load_tagger(options.model), Path(options.text)
    sentences, shards = [each.forms for each in read_conllu(text)], plan([text], shard_bytes=SHARD_BYTES)
    found = []
    for is_parquet in (True, False):

        def by_shards(is_parquet: bool = is_parquet) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as inside:
                run(TagShards(tagger, is_parquet), shards, Path(inside) / "out", {})

        said = compare(lambda: tagger.tag(sentences), by_shards, 7)
        found.append(f"{'Parquet' if is_parquet else 'CoNLL-U'} {said}")
    return "tags by shards, share of tagger.tag's words a second: " + "; ".join(found)


def million(options: argparse.Namespace, folder: Path) -> Path:
    """The text, repeated to a million words."""
    path = folder / "million.conllu"
    if not path.exists():
        words = sum(len(each.forms) for each in read_conllu(options.text))
        path.write_text(Path(options.text).read_text("utf-8") * -(-WORDS // words), "utf-8")
    return path


def opened(options: argparse.Namespace, folder: Path) -> hs.Index:
    """The index of a million words, made in two processes if it is not there."""
    return hs.index(hs.load(options.model), million(options, folder), folder / "million.index", workers=2)


def search_speed(options: argparse.Namespace, folder: Path) -> str:
    """Queries over a million words, the first time in a process and again."""
    index, found = opened(options, folder), []
    for query in QUERIES:
        first = timed(lambda query=query: index.search(query))[0]  # type: ignore[misc]
        again = median(timed(lambda query=query: index.search(query))[0] for _ in range(9))  # type: ignore[misc]
        found.append(f"{query}: {first * 1e3:.0f}, {again * 1e3:.0f} ms")
    return f"search over {index.steps:,} steps, first and again:\n  " + "\n  ".join(found)


def bits_speed(options: argparse.Namespace, folder: Path) -> str:
    """The bits of one unit over a hundred million steps, from files of their own; cold: not in the system's memory."""
    source, big = opened(options, folder), folder / "big.index"
    times = -(-STEPS // source.steps)
    if not big.exists():
        big.mkdir()
        count = source.reader.lstm.hidden_size
        row = [(name, value) for name, values in source.thresholds.items() for value in values].index(
            ("l1.h", 0.5)
        ) * count
        rows = [np.load(source.path(shard) / ABOVE)[row : row + count] for shard in source.shards]
        (big / "model").symlink_to((source.folder / "model").resolve())
        arrays = dict(np.load(source.folder / "statistics.npz"))
        np.savez(big / "statistics.npz", **{**arrays, "lengths": np.tile(arrays["lengths"], times)})
        for k in range(times * len(source.shards)):
            part = big / f"{k:05}"
            part.mkdir()
            np.save(part / ABOVE, rows[k % len(rows)])
        shards = [{**each, "number": k} for k, each in enumerate(list(source.about["shards"]) * times)]
        (big / "manifest.json").write_text(
            json.dumps({**source.about, "shards": shards, "thresholds": {"l1.h": [0.5]}})
        )
        os.sync()

    def read(unit: int) -> None:
        index = hs.open_index(big)
        began = time.perf_counter()
        steps = sum(len(bits) for bits in index.bits_of_shards("l1.h", unit, 0.5) if bits is not None)
        seconds.append(time.perf_counter() - began)
        assert steps >= STEPS

    seconds = list[float]()
    for path in big.glob(f"*/{ABOVE}"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for unit in (44, 44, 45):
        read(unit)
    return "bits of one unit over 100,000,000 steps: {:.2f} s from the disk, {:.2f} and {:.2f} s again".format(*seconds)


def units_speed(options: argparse.Namespace, folder: Path) -> str:
    """The table of all units, and a card."""
    index = opened(options, folder)
    table, card = timed(index.units)[0], timed(lambda: index.unit("l1.h[44]"))[0]
    return f"table of {len(index.units().rows()):,} units {table:.2f} s, a card {card:.2f} s"


def cluster_speed(options: argparse.Namespace, folder: Path) -> str:
    """An index on Dask, with one and two workers of one thread, in turns."""
    distributed: Any = import_module("distributed")

    def once(count: int) -> tuple[float, float]:
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            began, before = time.perf_counter(), clients[count].run(time.process_time)
            hs.index(tagger, options.text, Path(inside) / "index", client=clients[count])
            wall, after = time.perf_counter() - began, clients[count].run(time.process_time)
            return wall, max(after[name] - before[name] for name in before)

    tagger = hs.load(options.model)
    kept = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(n_workers=1, **kept) as one,
        distributed.LocalCluster(n_workers=2, **kept) as two,
        distributed.Client(one) as first,
        distributed.Client(two) as second,
    ):
        clients = {1: first, 2: second}
        once(1), once(2)  # workers load the library
        turns = [(once(1), once(2)) for _ in range(3)]
    clock, cpu = (median(a[k] / b[k] for a, b in turns) for k in (0, 1))
    return f"index on Dask, two workers against one: {clock:.2f} by the clock, {cpu:.2f} by CPU of the busier"


def pages_speed(options: argparse.Namespace, folder: Path) -> str:
    """First sight of the pages Units and Search in Chromium, and frames while scrolling."""
    from playwright.sync_api import sync_playwright

    studio, found = hs.studio(options.model, index=opened(options, folder)), list[str]()
    pages = {
        "units": ("#units-list [role=option]", ""),
        "search": ("#search-list .passage-token", f"&query={QUERIES[1]}"),
    }
    with studio.start() as started, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=options.chromium)
        for size in ((1280, 800), (390, 844)):
            for page, (wait, more) in pages.items():
                seen, frames = [], [0.0, 0.0]
                for _ in range(options.turns):
                    address = f"{started.url}#page={page}&track=l1&show=h&unit=44{more}"
                    tab, seconds = first_sight(browser, size, address, f"() => document.querySelector('{wait}')")
                    seen.append(seconds)
                    frames = tab.evaluate(SCROLL, f"#{page}-list")
                    tab.close()
                found.append(
                    f"{page}, {size[0]} px: first sight {seen[0]:.2f} s, then {median(seen[1:] or seen):.2f} s; "
                    f"a frame {frames[0]:.1f} ms, of 20 the slowest {frames[1]:.1f} ms"
                )
        browser.close()
    return "pages:\n  " + "\n  ".join(found)


PARTS = {
    "index": index_speed,
    "memory": memory,
    "tag": tag_speed,
    "search": search_speed,
    "bits": bits_speed,
    "units": units_speed,
    "cluster": cluster_speed,
    "pages": pages_speed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, metavar="FILE", help="CoNLL-U with UPOS")
    parser.add_argument("--model", default="tagger-en", help="folder or name of a tagger with two layers")
    parser.add_argument("--folder", default="build/corpus", help="where indexes are kept")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--turns", type=int, default=4, help="of the pages")
    parser.add_argument("--chromium", default=None, help="the browser, if not playwright's own")
    options = parser.parse_args()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    print("\n".join(machine.described()))
    torch.set_num_threads(1)
    for part in options.parts:
        print(PARTS[part](options, folder), flush=True)


if __name__ == "__main__":
    main()
