"""Random indexes, compared with NumPy: of models, corpora and labels that change, of runs that stop or are killed."""

import faulthandler
import functools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import nn

import hiddenstate as hs
from attacks.processes import IN_MEMORY
from attacks.runs import forked
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.nn.rnn import new_layer

Values = NDArray[np.float64]
Labels = Callable[[Sequence[str]], list[str]]
WORDS, CHARACTERS = ("<unk>", "the", "old", "lion", "sleeps", "cats"), "ab \nc"
APART = 1e-4  # by how much all values must differ from a threshold
KINDS = ("layer", "layer", "tagger", "language model")
SMALL = {  # constants of modules, so that small corpora have several shards
    "hiddenstate.corpus.opened.TEXT_SHARD_BYTES": 60,
    "hiddenstate.corpus.opened.SHARD_BYTES": 60,
    "hiddenstate.corpus.index.readers.ARRAYS_TOGETHER": 3,
}
LIMIT = "m"  # which a label function reads


class StoppedError(Exception):
    """Stops a run."""


def numpy_layer(lstm: Any, x: Values) -> dict[str, Values]:
    """Return the hidden states ``[T, P]``, and cell states of an LSTM, of each layer and direction for ``x [T, C]``."""
    weights = {name: value.detach().double().numpy() for name, value in lstm.state_dict().items()}
    found, cell = dict[str, Values](), lstm.sizes.cell
    for layer in range(lstm.num_layers):
        outputs = []
        for side, mark in (("", ""), ("_reverse", "r"))[: lstm.sizes.directions]:
            ih, hh = (weights[f"weight_{part}_l{layer}{side}"] for part in ("ih", "hh"))
            none = np.zeros(len(ih))
            b_ih, b_hh = (weights.get(f"bias_{part}_l{layer}{side}", none) for part in ("ih", "hh"))
            projection = weights.get(f"weight_hr_l{layer}{side}")
            h, c, states = np.zeros(hh.shape[1]), np.zeros(lstm.hidden_size), []
            for row in x[::-1] if side else x:
                a, b = ih @ row + b_ih, hh @ h + b_hh
                if cell == "LSTM":
                    i, f, g, o = np.split(a + b, 4)
                    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
                    h = _sigmoid(o) * np.tanh(c)
                    h = h if projection is None else projection @ h
                elif cell == "GRU":
                    (ra, za, na), (rb, zb, nb) = np.split(a, 3), np.split(b, 3)
                    z = _sigmoid(za + zb)
                    h = (1 - z) * np.tanh(na + _sigmoid(ra + rb) * nb) + z * h
                else:
                    h = np.tanh(a + b) if cell == "RNN_TANH" else np.maximum(a + b, 0)
                states.append((h, c))
            states = states[::-1] if side else states
            found[f"l{layer}{mark}.h"] = np.array([h for h, _ in states])
            if cell == "LSTM":
                found[f"l{layer}{mark}.c"] = np.array([c for _, c in states])
            outputs.append(found[f"l{layer}{mark}.h"])
        x = np.concatenate(outputs, axis=1)
    return found


def _sigmoid(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-x)))


# Functions of labels, of every kind.


def above(tokens: Sequence[str], limit: str = "m") -> list[str]:
    return ["high" if token > limit else "low" for token in tokens]


def above_a_global(tokens: Sequence[str]) -> list[str]:
    return above(tokens, LIMIT)


class Above:
    def __init__(self, limit: str) -> None:
        self.limit = limit

    def __call__(self, tokens: Sequence[str]) -> list[str]:
        return above(tokens, self.limit)

    def label(self, tokens: Sequence[str]) -> list[str]:
        return above(tokens, self.limit)

    @classmethod
    def low(cls, tokens: Sequence[str]) -> list[str]:
        return above(tokens, "zzz")


def defined(limit: str) -> Labels:
    def labels(tokens: Sequence[str]) -> list[str]:
        return above(tokens, limit)

    return labels


def with_default(limit: str) -> Labels:
    def labels(tokens: Sequence[str], than: str = limit) -> list[str]:
        return above(tokens, than)

    return labels


def of_a_global(limit: str) -> Labels:
    global LIMIT
    LIMIT = limit
    return above_a_global


FUNCTIONS: dict[str, Callable[[str], Labels]] = {
    "def": lambda limit: above if limit == "m" else defined(limit),
    "lambda": lambda limit: lambda tokens: above(tokens, limit),
    "closure": defined,
    "default": with_default,
    "partial": lambda limit: functools.partial(above, limit=limit),
    "callable object": Above,
    "bound method": lambda limit: Above(limit).label,
    "class method": lambda limit: Above.low if limit == "zzz" else defined(limit),
    "global": of_a_global,
}


class Case(NamedTuple):
    """A random model and corpus.

    Attributes:
        model: the model.
        corpus: the argument of `hiddenstate.index`.
        path: the corpus's file, or None for arrays.
        options: other arguments.
        tokens: the tokens of each sequence.
        values: the values ``[T, U]`` of each sequence by place.
        sequences: for `like`: each sequence.
        lstm: the layer.
    """

    model: Any
    corpus: Any
    path: Path | None
    options: dict[str, Any]
    tokens: list[tuple[str, ...]]
    values: list[dict[str, Values]]
    sequences: list[Any]
    lstm: Any


def new_case(draw: random.Random, folder: Path) -> Case:
    kind = draw.choice(KINDS)
    torch.manual_seed(draw.randrange(1 << 30))
    cell = draw.choice(("LSTM", "GRU", "RNN_TANH", "RNN_RELU"))
    both = kind != "language model" and draw.random() < 0.4
    projected = 2 if kind == "layer" and cell == "LSTM" and draw.random() < 0.3 else 0
    sizes = hs.Sizes(3, draw.randint(3, 6), draw.randint(1, 2), draw.random() < 0.8, both, projected, cell)
    dtype = draw.choice((torch.float32, torch.float64)) if kind == "layer" else torch.float32
    lstm = new_layer(sizes, dtype=dtype, batch_first=kind == "layer" and draw.random() < 0.3).eval()
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(0.7 if cell == "RNN_RELU" else 2)
    if kind == "layer":
        lengths = [draw.choice((1, 2, 5, 30, 70)) for _ in range(draw.randint(1, 9))] + [600] * (draw.random() < 0.1)
        xs = [torch.randn(T, 3, dtype=dtype) for T in lengths]
        tokens = [tuple(draw.choice(WORDS) for _ in x) for x in xs]
        values = [numpy_layer(lstm, x.double().numpy()) for x in xs]
        labels = [above(each) for each in tokens]
        return Case(lstm, xs, None, {"tokens": tokens, "labels": labels}, tokens, values, [x.clone() for x in xs], lstm)
    names: Sequence[str] = WORDS if kind == "tagger" else ("<unk>", *CHARACTERS)
    embedding, width = nn.Embedding(len(names), 3), sizes.directions * sizes.hidden_size
    with torch.no_grad():
        vectors = embedding.weight.double().numpy()
    number = {name: k for k, name in enumerate(names)}
    if kind == "tagger":
        model: Any = hs.tagger((embedding, lstm, nn.Linear(width, 2)), WORDS, ["A", "B"])
        tokens = [tuple(draw.choice(WORDS[1:]) for _ in range(draw.randint(1, 9))) for _ in range(draw.randint(1, 40))]
        lines = [" ".join(sentence) for sentence in tokens]
    else:
        model = hs.language_model((embedding, lstm, nn.Linear(width, len(names))), names)
        lines = ["".join(draw.choice("ab c") for _ in range(draw.randint(1, 40))) for _ in range(draw.randint(1, 30))]
        tokens = []  # of a shard, which the test reads in the index
    path = folder / draw.choice(("text.txt", "text.parquet"))
    if path.suffix == ".txt":
        path.write_text("".join(f"{line}\n" for line in lines))
        if kind == "tagger" and draw.random() < 0.3:
            path = path.with_suffix(".conllu")
            path.write_text(conllu(tokens))
    else:
        pyarrow.parquet.write_table(pyarrow.table({"text": lines}), path, row_group_size=draw.choice((1, 4, 100)))
    if kind == "language model":
        tokens = pieces(lines, path)
    values = [numpy_layer(lstm, vectors[[number[token] for token in sequence]]) for sequence in tokens]
    sequences = [list(each) if kind == "tagger" else "".join(each[1:]) for each in tokens]
    options = {"labels": FUNCTIONS[draw.choice([*FUNCTIONS])]("m")}
    return Case(model, str(path), path, options, tokens, values, sequences, lstm)


def conllu(sentences: Sequence[Sequence[str]]) -> str:
    rows = [[f"{k}\t{word}\t_\tA\t" + "\t".join("_" * 6) for k, word in enumerate(each, 1)] for each in sentences]
    return "".join("\n".join(lines) + "\n\n" for lines in rows)


def pieces(lines: Sequence[str], path: Path) -> list[tuple[str, ...]]:
    """Return the tokens of each piece: a shard's lines, or a cell of a Parquet file."""
    texts = list(lines)
    if path.suffix == ".txt":
        texts, size = [""], SMALL["hiddenstate.corpus.opened.TEXT_SHARD_BYTES"]
        for line in lines:
            if len(texts[-1]) >= size:
                texts.append("")
            texts[-1] += f"{line}\n"
    return [("\n", *text) for text in texts]


@contextmanager
def small_shards() -> Iterator[None]:
    with ExitStack() as stack:
        for name, value in SMALL.items():
            stack.enter_context(patch(name, value))
        yield


@contextmanager
def in_force(draw: random.Random) -> Iterator[None]:
    """Settings of torch that must not matter."""
    kind, dtype = draw.choice(("nothing", "nothing", "autocast", "float64", "device")), torch.get_default_dtype()
    try:
        with ExitStack() as stack:
            if kind == "autocast":
                stack.enter_context(torch.autocast("cpu", draw.choice((torch.bfloat16, torch.float16))))
            elif kind == "device":
                stack.enter_context(torch.device("meta"))
            elif kind == "float64":
                torch.set_default_dtype(torch.float64)
            yield
    finally:
        torch.set_default_dtype(dtype)


def check_index(seed: int) -> int:
    """Make an index while things change, and compare its answers with NumPy; return the number of comparisons."""
    draw = random.Random(f"index {seed}")
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as temporary, small_shards():
        folder = Path(temporary)
        case = new_case(draw, folder)
        with in_force(draw):
            index = make_badly(case, folder / "index", draw)
            spoil(case, draw)
            index = hs.open_index(folder / "index") if draw.random() < 0.5 else index
            if draw.random() < 0.5:
                index.search(f"l0.h[0] > {draw.uniform(-1, 1):.3f}")
            return compare(case, index, draw)


def make_badly(case: Case, folder: Path, draw: random.Random) -> Any:
    """Make an index in several attempts, in which the run stops, or the model, the corpus or the labels change."""
    content = None if case.path is None else case.path.read_bytes()
    originals = [*case.model.state_dict().values(), *(case.corpus if content is None else ())]
    copies = [original.clone() for original in originals]
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        what = draw.choice(("stop", "train", "corpus", "labels"))
        try:
            attempt(case, folder, draw, what)
        finally:
            globals()["LIMIT"] = "m"
            for original, copy in zip(originals, copies, strict=True):
                original.copy_(copy)
            if case.path is not None:
                assert content is not None
                case.path.write_bytes(content)
    index = hs.index(case.model, case.corpus, folder, **case.options)
    if draw.random() < 0.2:
        compare(case, hs.index(case.model, case.corpus, folder, **case.options), draw)
    return index


def attempt(case: Case, folder: Path, draw: random.Random, what: str) -> None:
    """Make an index while something happens: it must be right, or be refused with the reason."""
    if what == "labels":
        label_otherwise(case, folder, draw)
        return
    times, changes = None if case.path is None else case.path.stat(), list[str]()

    def report(count: int, total: int) -> None:
        if what == "train":
            spoil(case, draw)
        elif draw.random() < 0.5 and not changes:
            changes.append(what)
            if what == "stop":
                raise StoppedError
            change(case, draw, times)

    try:
        index = hs.index(case.model, case.corpus, folder, progress=report, **case.options)
    except StoppedError:
        return
    except (FileFormatError, ArgumentError):
        if what == "corpus" and changes:
            return
        raise
    compare(case, index, draw)


def label_otherwise(case: Case, folder: Path, draw: random.Random) -> None:
    """Make an index with another function of labels: it must be refused if labels of the first are stored."""
    is_there = any(folder.glob("0*" if case.path else "manifest.json"))
    other = FUNCTIONS[draw.choice([*FUNCTIONS])](draw.choice(("m", "c")))
    is_same = all(other(tokens) == above(tokens) for tokens in case.tokens)
    labels = other if case.path else [other(tokens) for tokens in case.tokens]
    try:
        hs.index(case.model, case.corpus, folder, **{**case.options, "labels": labels})
    except ArgumentError:
        if is_there and not is_same:
            return
        raise
    assert is_same or not is_there, "the labels of another function were taken"
    if not is_same:
        shutil.rmtree(folder)


def change(case: Case, draw: random.Random, times: os.stat_result | None) -> None:
    """Change the corpus in one of many ways."""
    if case.path is None:
        for x in case.corpus:
            x.neg_()
        return
    content = case.path.read_bytes()
    at = draw.randrange(len(content))
    way = draw.choice(("cut", "byte", "grow", "replace", "empty"))
    other = {
        "empty": b"",
        "cut": content[:at],
        "byte": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "grow": b"lion\n" + content,
        "replace": content[::-1],
    }[way]
    if way == "replace":
        case.path.with_suffix(".new").write_bytes(other)
        case.path.with_suffix(".new").replace(case.path)
    else:
        case.path.write_bytes(other)
    if draw.random() < 0.5:
        assert times is not None
        os.utime(case.path, ns=(times.st_atime_ns, times.st_mtime_ns))


@torch.no_grad()
def spoil(case: Case, draw: random.Random) -> None:
    """Train the original model on, so to speak."""
    draw.choice([*case.model.state_dict().values()]).mul_(-1).add_(0.5)


def compare(case: Case, index: Any, draw: random.Random) -> int:
    """Compare answers with NumPy; return their number."""
    texts = [index.text(shard) for shard in index.shards]
    items = [text.item(k) for text in texts for k in range(len(text.starts) - 1)]
    assert [item.tokens for item in items] == case.tokens
    labels = [above(tokens) for tokens in case.tokens]
    assert [list(item.labels) for item in items] == labels
    flat_labels, count = np.array([label for each in labels for label in each]), 2
    places = [*index.statistics]
    assert places == [f"{name}" for name in places if name in case.values[0]]
    flat = {name: np.concatenate([each[name] for each in case.values]) for name in places}
    for name in places:
        known = index.statistics[name]
        assert known.steps == len(flat[name])
        np.testing.assert_allclose(known.mean, flat[name].mean(0), atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(known.top[:, 0], flat[name].max(0), atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(known.bottom[:, 0], flat[name].min(0), atol=1e-4, rtol=1e-4)
        for label in known.labels:
            assert int(known.label_count[:, known.labels.index(label)].sum()) == int((flat_labels == label).sum())
        count += 4
    for _ in range(4):
        name = draw.choice(places)
        unit = draw.randrange(flat[name].shape[1])
        values = flat[name][:, unit]
        limit = draw.choice((0.5, -0.5)) if name.endswith(".h") and draw.random() < 0.4 else draw.uniform(-1, 1)
        limit = float(f"{limit:.4f}")
        if np.abs(values - limit).min() < APART * max(1.0, np.abs(values).max()):
            continue
        op = draw.choice((">", "<=", ">=", "<"))
        holds = (values > limit) == (op[0] == ">")
        query, expected = f"{name}[{unit}] {op} {limit}", holds
        if draw.random() < 0.4:
            query, expected = f"{query}, label = high", holds & (flat_labels == "high")
        assert index.search(query).matched_steps == int(expected.sum()), query
        count += 1
    k = draw.randrange(len(case.values))
    t = draw.randrange(len(case.tokens[k]))
    context = [*index.contexts()][k]._replace(start=t, stop=t + 1)
    for name, got in index.values(context, places).items():
        np.testing.assert_allclose(got[0], case.values[k][name][t], atol=1e-4, rtol=1e-4)
        count += 1
    if len(case.sequences[k]):
        last = f"l{case.lstm.num_layers - 1}"
        names = [f"{last}{mark}.h" for mark in ("", "r")[: case.lstm.sizes.directions]]
        best = index.like(case.sequences[k], t, k=1).matches[0]
        states = np.concatenate([flat[name] for name in names], axis=1)
        wanted = np.concatenate([case.values[k][name][t] for name in names])
        cosine = states @ wanted / np.maximum(np.linalg.norm(states, axis=1) * np.linalg.norm(wanted), 1e-12)
        assert abs(best.score - cosine.max()) < 1e-3
        count += 1
    return count


def check_index_kills(seed: int) -> int:
    """Kill processes that make an index; the next one completes it, and it is that of an unbroken run."""
    draw = random.Random(f"index-kills {seed}")
    faulthandler.cancel_dump_traceback_later()  # a fork would wait for its thread, which it does not have
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as temporary, small_shards():
        folder = Path(temporary)
        case = new_case(draw, folder)

        def work(out: Path) -> None:
            hs.index(case.model, case.corpus, out, **case.options)

        before = os.times()
        assert forked(functools.partial(work, folder / "whole")) == 0
        after = os.times()
        seconds = after.children_user + after.children_system - before.children_user - before.children_system
        kills = draw.randint(1, 4)
        for _ in range(kills):
            code = forked(functools.partial(work, folder / "index"), draw.uniform(0, seconds))
            assert code in (0, -9), code
            if (folder / "index" / "statistics.npz").exists():
                compare(case, hs.open_index(folder / "index"), draw)
        work(folder / "index")
        mine, whole = files(folder / "index"), files(folder / "whole")
        assert mine == whole, sorted(name for name in {**mine, **whole} if mine.get(name) != whole.get(name))
        compare(case, hs.open_index(folder / "index"), draw)
        return kills


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of an index without those of searches; only sizes of the model's, whose header has no order."""
    return {
        path.relative_to(folder).as_posix(): bytes(path.stat().st_size) if "model" in path.parts else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock" and path.parent.name != "searched"
    }
