"""An index says what a plain scan of all states says, and runs any part of the corpus again."""

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.utils.parametrizations import weight_norm

import hiddenstate as hs
from corpus.corpora import arrays, lstm_of, make, plain_values, words_of
from hiddenstate.corpus.index.sequences import Context, scramble
from hiddenstate.corpus.index.statistics import EVERY, Accumulator, Chunk, Statistics
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError, NameUnknownError, ShapeError
from support import LAYERS

pytest.importorskip("pyarrow")


def every_file(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }


OTHER_CELLS = ("GRU", "RNN_TANH", "RNN_RELU")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bidirectional": True},
        {"proj_size": 2},
        {"batch_first": True},
        {"cell": "GRU", "bidirectional": True},
        *({"cell": cell} for cell in OTHER_CELLS),
    ],
)
def test_statistics_are_those_of_a_plain_scan(tmp_path: Path, options: dict[str, Any]) -> None:
    lstm, xs = lstm_of(**options), arrays(30, 1, longest=150)
    labels = words_of(xs, 2)
    index = make(tmp_path / "index", lstm, xs, places="*", labels=labels)
    flat_labels = np.array([label for row in labels for label in row])
    for name, known in index.statistics.items():
        values = np.concatenate(plain_values(lstm, xs, name))
        assert known.steps == len(values)
        np.testing.assert_allclose(known.mean, values.mean(0), atol=1e-5)
        np.testing.assert_allclose(known.deviation, values.std(0), atol=1e-4)
        np.testing.assert_allclose(known.top[:, 0], values.max(0), atol=1e-6)
        np.testing.assert_allclose(known.bottom[:, 0], values.min(0), atol=1e-6)
        assert known.labels == tuple(sorted({*flat_labels.tolist()}))
        assert known.label_count.sum(0).tolist() == [int((flat_labels == label).sum()) for label in known.labels]
        for k, label in enumerate(known.labels):
            with np.errstate(invalid="ignore"):  # relu may leave a unit at 0: no correlation
                expected = np.corrcoef(flat_labels == label, values.T)[0, 1:]
            np.testing.assert_allclose(known.correlations()[k], expected, atol=1e-3)
        shares = (0.05, 0.3, 0.5, 0.7, 0.95)
        found = known.quantiles(shares, index.edges(name))
        assert (np.diff(found, axis=1) >= 0).all()
        if name.endswith((".f", ".z")):
            np.testing.assert_allclose(known.time_constant, -1 / np.log(values.clip(1e-30)).mean(0), rtol=1e-3)
        else:
            assert np.isnan(known.time_constant).all()
        assert len({*known.histogram.sum(1).tolist()}) == 1
        assert 0 < known.histogram[0].sum() < index.steps / 4
        sampled = values[scramble(np.arange(len(values))) % np.uint64(EVERY) == 0]
        edges = index.edges(name)
        assert known.histogram.tolist() == [np.histogram(unit, edges)[0].tolist() for unit in sampled.T]
        is_gate, is_bounded = edges[0] == 0, np.isfinite(edges[0])
        low, high = known.saturation(edges)
        bound = 0.9 if is_bounded else 1
        np.testing.assert_allclose(high, (sampled >= bound).mean(0))
        np.testing.assert_allclose(low, (sampled <= (0.1 if is_gate else -bound)).mean(0))


@pytest.mark.parametrize(
    ("cell", "bidirectional", "place"),
    [("LSTM", False, "l1.c"), ("LSTM", True, "l1.c"), ("GRU", False, "l1.z"), ("GRU", True, "l1r.z")]
    + [(cell, False, "l1.h") for cell in OTHER_CELLS],
)
def test_a_part_that_is_run_again_is_as_it_was(tmp_path: Path, cell: str, bidirectional: bool, place: str) -> None:
    lstm, xs = lstm_of(cell=cell, bidirectional=bidirectional), [*arrays(5, 3), *arrays(2, 4, longest=1)]
    xs.append(torch.randn(700, 3, generator=torch.Generator().manual_seed(5)))
    index = hs.open_index(make(tmp_path / "index", lstm, xs).folder)
    for name in ("l0.h", place):
        plain = plain_values(lstm, xs, name)
        contexts = list(index.contexts())
        for context, part in zip(contexts, index.run(contexts, [name]), strict=True):
            np.testing.assert_allclose(part[name], plain[context.sequence], atol=1e-6)
        for start, stop in ((0, 5), (255, 260), (256, 300), (512, 513), (640, 700)):
            values = index.values(Context(0, len(xs) - 1, start, stop), [name])[name]
            np.testing.assert_allclose(values, plain[-1][start:stop], atol=1e-6)
    for unit in range(5):
        for value, key in zip(index.statistics["l1.h"].top[unit], index.statistics["l1.h"].top_key[unit], strict=True):
            if key >= 0:
                again = index.values(index.context(int(key)), ["l1.h"])["l1.h"][:, unit]
                assert abs(again.max() - value) <= 1e-6


def values_with(means: Sequence[float], spread: float, count: int) -> NDArray[np.float32]:
    """Values ``[count, U]`` of units that vary little beside their means."""
    return (np.array(means) + spread * np.random.default_rng(0).normal(size=(count, len(means)))).astype(np.float32)


def counted(parts: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.bool_]]) -> list[Statistics]:
    """The statistics of values ``[M, U]`` in shards, in groups: the first half of each, and the steps with a label.

    These steps also have the only token.
    """
    shards = []
    for values, has_label in zip(parts, labels, strict=True):
        M, U = values.shape
        accumulator = Accumulator(U, None, False, 2, 1, 1)
        first = M // 2
        order = np.concatenate([np.argsort(~has_label[:first]), first + np.argsort(~has_label[first:])])
        cuts = np.cumsum(
            [0, *(int(n) for half in (has_label[:first], has_label[first:]) for n in (half.sum(), (~half).sum()))]
        )
        for start in range(0, M, 512):  # chunks
            rows = np.sort(order.argsort()[start : start + 512])
            bounds = np.searchsorted(rows, cuts).tolist()
            accumulator.add(
                torch.from_numpy(values[order[rows]])[:, None],
                Chunk(
                    rows=torch.arange(len(rows)),
                    first=bounds[2],
                    groups=[(k, a, b) for k, (a, b) in enumerate(pairwise(bounds)) if a < b],
                    sample=torch.arange(len(rows)),
                    tokens=torch.from_numpy(has_label[order[rows]])[None].float(),
                    windows=[],
                    memory=torch.empty(0),
                ),
            )
        count = np.array([first, M - first])
        label_count = np.array([[has_label[:first].sum()], [has_label[first:].sum()]])
        shards.append(accumulator.finish(np.zeros(1, np.int64), ("on",), count, label_count, label_count.sum(0)))
    return shards


@pytest.mark.parametrize(("means", "spread"), [((1000.0, -3e4), 1e-2), ((7.0, 0.5), 1e-5), ((0.0, 1e-3), 1e-4)])
def test_units_that_vary_little_beside_their_means(means: Sequence[float], spread: float) -> None:
    values = values_with(means, spread, 6000)
    has_label = values[:, 0] + values[:, 1] > values[:, 0].mean() + values[:, 1].mean()
    values[:3] += 5 * spread  # the first are not typical
    shards = counted(np.split(values, [900, 4000]), np.split(has_label, [900, 4000]))
    known = reduce(Statistics.merge, shards)
    assert is_same(known, reduce(Statistics.merge, shards[::-1]))
    exact = values.astype(np.float64)
    np.testing.assert_allclose(known.mean, exact.mean(0), rtol=1e-12, atol=1e-6 * spread)
    np.testing.assert_allclose(known.deviation, exact.std(0), rtol=1e-5)
    np.testing.assert_allclose(known.correlations()[0], np.corrcoef(has_label, exact.T)[0, 1:], atol=1e-4)
    assert (known.correlations()[0] > 0.3).all()
    means = [known.token_means(unit)[0] for unit in range(2)]
    np.testing.assert_allclose(means, exact[has_label].mean(0), rtol=1e-12, atol=1e-4 * spread)


def test_correlations_stay_within_their_bounds_and_unknown_ones_are_nan() -> None:
    has_label = np.arange(400) % 2 > 0
    exact = np.where(has_label, np.float32(1000.0001), np.float32(1000))
    half = np.where(np.arange(400) < 200, exact, np.float32(0.1))
    constant = np.full(400, 0.1, np.float32)
    (known,) = counted([np.stack([exact, half, constant], 1)], [has_label])
    np.testing.assert_allclose(known.correlations(0)[0, :2], 1)
    assert np.isnan(known.correlations(0)[0, 2])
    assert known.correlations(1)[0, 0] == pytest.approx(1)
    assert np.isnan(known.correlations(1)[0, 1:]).all()
    assert known.deviation[2] == 0
    (always,) = counted([exact[:, None]], [has_label | True])
    assert np.isnan(always.correlations()).all()
    (two,) = counted([np.array([[1.0], [2.0]], np.float32)], [np.array([True, False])])
    assert np.isnan(two.correlations()).all()


@pytest.mark.parametrize(
    ("bias", "expected"), [(200.0, np.inf), (-200.0, 0.0), (12.0, 1 / np.log1p(np.exp(-12.0))), (0.0, 1 / np.log(2))]
)
def test_a_time_constant_is_the_same_in_an_index_and_in_dynamics(tmp_path: Path, bias: float, expected: float) -> None:
    lstm = hs.LSTM(3, 4).eval()
    with torch.no_grad():
        for weight in lstm.parameters():
            weight[4:8] = 0
        lstm.get_parameter("bias_ih_l0")[4:8] = bias
    x = torch.randn(9, 5, 3)
    index = make(tmp_path / "index", lstm, list(x.unbind(1)), places="*", labels=[["a"] * 9] * 5)
    constants = hs.explain.dynamics(lstm, x).timescales().constants["l0"].numpy()
    np.testing.assert_allclose(index.statistics["l0.f"].time_constant, constants, rtol=1e-6)
    np.testing.assert_allclose(constants, expected, rtol=0.1)
    card = index.unit("l0.c[1]")
    assert card.time_constant == pytest.approx(constants[1], rel=1e-6)
    row = next(row for row in index.units().rows() if row["unit"] == "l0.c[1]")
    assert row["time_constant"] == card.time_constant
    assert row["never_forgets"] is card.to_dict()["never_forgets"] is bool(expected == np.inf)
    assert ("it never forgets" in str(card)) is bool(expected == np.inf)
    assert "-inf" not in str(card) + str(index.units())


def test_an_index_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    index = make(tmp_path / "index", lstm_of(), arrays(4, 1))
    manifest = index.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("index/3", "index/2"))
    with pytest.raises(FileFormatError, match="has 'index/2', expected 'index/3'; index the corpus again"):
        hs.open_index(index.folder)
    with pytest.raises(ArgumentError, match="differ in kind: choose another folder, or delete this one"):
        make(tmp_path / "index", lstm_of(), arrays(4, 1))


def is_same(a: Statistics, b: Statistics) -> bool:
    ours, theirs = a.to_arrays(), b.to_arrays()
    return all(np.allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9) for name in ours)


def test_merging_in_another_order_changes_only_roundings(tmp_path: Path) -> None:
    lstm, parts = lstm_of(), []
    for k in range(3):
        xs = arrays(6, 10 + k)
        labels = words_of(xs, k)
        labels[0] = [f"only {k}"] * len(labels[0])
        index = make(tmp_path / str(k), lstm, xs, labels=labels)
        parts.append(index.statistics["l1.h"])
    a, b, c = parts
    assert is_same(a.merge(b).merge(c), a.merge(b.merge(c)))
    # Contexts of separate indexes have the same numbers, so equal values could change places: there are none.
    merged = [reduce(Statistics.merge, order) for order in permutations(parts)]
    assert all(is_same(merged[0], other) for other in merged)
    assert merged[0].steps == sum(part.steps for part in parts)
    assert {f"only {k}" for k in range(3)} <= {*merged[0].labels}


def test_saturated_units_keep_their_earliest_contexts(tmp_path: Path) -> None:
    """Where many values are equal, the contexts do not depend on how the corpus was cut."""
    lstm = lstm_of()
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.mul_(0)
    index = make(tmp_path / "index", lstm, arrays(30, 1))
    keys = index.statistics["l0.h"].top_key
    assert (np.diff(keys, axis=1) > 0).all()
    assert [index.context(int(key)).sequence for key in keys[0]] == list(range(8))


def test_later_chunks_may_be_larger(tmp_path: Path) -> None:
    lstm, lengths = lstm_of(bidirectional=True), [300, *[60] * 100]
    xs = [torch.full((length, 3), 0.01 * k) for k, length in enumerate(lengths)]
    index = make(tmp_path / "index", lstm, xs)
    values = np.concatenate(plain_values(lstm, xs, "l0r.h"))
    np.testing.assert_allclose(index.statistics["l0r.h"].mean, values.mean(0), atol=1e-5)


@pytest.mark.slow
def test_processes_and_clusters_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    text = tmp_path / "text.txt"
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(["and", "the", "lion", "sleeps", "tonight"], 6)) for _ in range(60)]
    text.write_text("\n".join(lines) + "\n")
    from hiddenstate.corpus import opened

    model = hs.load("shakespeare")
    monkeypatch.setattr(opened, "TEXT_SHARD_BYTES", 500)
    monkeypatch.setattr(opened, "MERGED_TOGETHER", 2)
    options: dict[str, Any] = {"places": "l0.h", "thresholds": {"*": (0.5,)}}
    one = hs.index(model, text, tmp_path / "one", **options)
    two = hs.index(model, text, tmp_path / "two", workers=2, **options)
    threads = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**threads) as cluster, distributed.Client(cluster) as client:
        three = hs.index(model, text, tmp_path / "three", client=client, **options)
    assert len(one.shards) > 2
    assert every_file(one.folder) == every_file(two.folder) == every_file(three.folder)


def test_an_index_is_of_one_model_and_corpus(tmp_path: Path) -> None:
    lstm, xs = lstm_of(), arrays(4, 1)
    make(tmp_path / "index", lstm, xs)
    make(tmp_path / "index", lstm, xs)  # nothing is left to do
    with pytest.raises(ArgumentError, match=r"holds other results, which differ in arrays"):
        make(tmp_path / "index", lstm, arrays(4, 2))
    with pytest.raises(ArgumentError, match="differ in places, thresholds"):
        make(tmp_path / "index", lstm, xs, places="l0.f")
    with torch.no_grad():
        next(lstm.parameters()).add_(1)
    with pytest.raises(ArgumentError, match="differ in weights"):
        make(tmp_path / "index", lstm, xs)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(ArgumentError, match=r"holds 'mine.txt' and no manifest.json"):
        make(tmp_path / "other", lstm, xs)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    lstm, xs = lstm_of(), arrays(4, 1)
    with pytest.raises(ShapeError, match="C = 3"):
        make(tmp_path / "a", lstm, [torch.randn(4, 2)])
    with pytest.raises(ArgumentTypeError, match="LSTM, GRU or RNN, a tagger or a language model, got torch.nn.Linear"):
        hs.index(torch.nn.Linear(2, 2), xs, tmp_path / "a")
    with pytest.raises(NameUnknownError, match="l7"):
        make(tmp_path / "a", lstm, xs, places="l7.h")
    with pytest.raises(ArgumentError, match="4 steps|labels"):
        make(tmp_path / "a", lstm, xs, labels=[["x"]] * 4)
    with pytest.raises(ArgumentError, match="no file matches"):
        hs.index(hs.load("tagger-en"), str(tmp_path / "*.conllu"), tmp_path / "a")
    with pytest.raises(FileFormatError, match="is not a folder of shards"):
        hs.open_index(tmp_path)
    with pytest.raises(ArgumentError, match="array 1 has numbers that are infinite or NaN"):
        make(tmp_path / "a", lstm, [xs[0], xs[1] * float("nan")])
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("make_layer", LAYERS)
@pytest.mark.parametrize("kind", ["int8", "bfloat16", "float64"])
def test_layers_of_every_type_are_opened_again(make_layer: Any, kind: str, tmp_path: Path) -> None:
    lstm, xs = make_layer(3, 40), arrays(4, 1)
    if kind == "int8":
        lstm = lstm.quantize()
    else:
        lstm, xs = lstm.to(getattr(torch, kind)), [x.to(getattr(torch, kind)) for x in xs]
    index = make(tmp_path / "index", lstm, xs)
    query = "l0.h[3] > 0.0125, l0.h[4] < 0 before"
    assert hs.open_index(index.folder).search(query).to_json() == make(tmp_path / "b", lstm, xs).search(query).to_json()


class WithState(hs.LSTM):
    """A layer that holds more than its weights: a counter, and a state that is no tensor."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("calls", torch.zeros(()))

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}


def test_a_layer_that_holds_more_than_its_weights_is_stored_as_it_computes(tmp_path: Path) -> None:
    lstm, head, xs = WithState(3, 4), torch.nn.Linear(4, 2), arrays(4, 1)
    weight_norm(lstm, "weight_hh_l0")
    weight_norm(head)
    index = make(tmp_path / "index", lstm, xs, head=head)
    stored = index.values(Context(0, 1, 0, len(xs[1])), ["l0.h"])["l0.h"]
    assert np.array_equal(stored, lstm.trace(torch.as_tensor(xs[1])[:, None])["l0.h"][:, 0].numpy(force=True))
    assert index.reader.head is not None
    assert torch.equal(index.reader.head.weight, head.weight)


TEMPERATURES = [27.799999237060547, 18.5, 21.0]


@pytest.mark.parametrize(
    "row",
    [
        TEMPERATURES,
        np.array(TEMPERATURES, np.float32),
        torch.tensor(TEMPERATURES),
        [torch.tensor(value) for value in TEMPERATURES],
        [np.float16(value) for value in TEMPERATURES],
        ["warm", float("nan"), "cold"],
        [Decimal("27.8"), Decimal("18.5"), Decimal("21")],
        [1 + 2j] * 3,
    ],
)
def test_measured_numbers_are_no_labels(tmp_path: Path, row: Any) -> None:
    xs = [torch.randn(3, 3) for _ in range(4)]
    with pytest.raises(ArgumentTypeError, match=r"label \d of labels\[1\] is the number .* Sort measured numbers into"):
        make(tmp_path / "a", lstm_of(), xs, labels=[["warm"] * 3, row, row, row])
    text = tmp_path / "t.txt"
    text.write_text("abc")
    with pytest.raises(ArgumentTypeError, match=r"of the function labels= is the number .* Sort measured numbers into"):
        hs.index(hs.load("shakespeare"), text, tmp_path / "b", labels=lambda tokens: [*row, 0.5][: len(tokens)])
    assert not (tmp_path / "a").exists()


def test_class_numbers_are_labels_of_every_integer_type(tmp_path: Path) -> None:
    xs = [torch.randn(3, 3) for _ in range(5)]
    labels: list[Any] = [[0, 1, None], np.array([0, 1, 1]), torch.tensor([1, 1, 0]), [torch.tensor(1), np.int8(0), ""]]
    index = make(tmp_path / "a", lstm_of(), xs, labels=[*labels, ["27.8", True, False]])
    assert index.statistics["l0.h"].labels == ("0", "1", "27.8", "False", "True")
    assert index.statistics["l0.h"].label_count.sum() == 13
    for wrong in (labels, "abcde", 5, labels[0]):
        with pytest.raises((ArgumentError, ArgumentTypeError), match="labels must be a list"):
            make(tmp_path / "b", lstm_of(), xs, labels=wrong)
    with pytest.raises(ArgumentTypeError, match=r"labels\[0\] must have one label for each step, got float"):
        make(tmp_path / "b", lstm_of(), xs, labels=[0.5] * 5)


def test_labels_and_names_may_have_any_character(tmp_path: Path) -> None:
    xs = arrays(4, 1)
    labels = [["a\nb" if k % 2 else "a" for k in range(len(x))] for x in xs]
    index = make(tmp_path / "a", lstm_of(), xs, labels=labels, head=torch.nn.Linear(5, 2), names=["a\tb", "a\nb"])
    assert index.statistics["l0.h"].labels == ("a", "a\nb")
    again = hs.open_index(index.folder)
    assert again.statistics["l0.h"].labels == ("a", "a\nb")
    assert again.reader.head is not None
    assert again.reader.head.labels == ("a\tb", "a\nb")


def test_what_is_kept_in_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiddenstate.corpus.index.readers.ARRAYS_TOGETHER", 2)
    monkeypatch.setattr("hiddenstate.corpus.index.folder.MOST_KEPT_STEPS", 100)
    index = make(tmp_path / "index", lstm_of(), arrays(30, 1))
    count = index.search("l0.h[3] > .2").count
    for shard in index.shards:
        index.text(shard)
        assert index.memory["steps"] <= 100
    assert index.search("l0.h[3] > .2").count == count


def test_damaged_files_of_an_index_are_refused(tmp_path: Path) -> None:
    index = make(tmp_path / "index", lstm_of(), arrays(4, 1))
    shard = index.folder / "00000"
    for name, of in (("tokens.parquet", "text"), ("starts.npy", "text"), ("above.npy", "bits")):
        whole = (shard / name).read_bytes()
        (shard / name).write_bytes(whole[: len(whole) // 2])
        opened = hs.open_index(index.folder)
        with pytest.raises(FileFormatError, match="00000"):
            opened.text(0) if of == "text" else opened.bits(0, "l0.h", 1, 0.5)
        (shard / name).write_bytes(whole)
    whole_file = dict(np.load(index.folder / "statistics.npz"))
    for name, value in (
        ("l0.h/means", whole_file["l0.h/means"].astype(np.float32)),
        ("l0.h/spreads", whole_file["l0.h/spreads"][0]),
        ("l0.h/logarithm", np.zeros(5)),
        ("l0.h/top", whole_file["l0.h/top"].astype(np.int64)),
        ("lengths", whole_file["lengths"][:, None]),
    ):
        np.savez(index.folder / "statistics.npz", **{**whole_file, name: value})
        with pytest.raises(FileFormatError, match=r"statistics\.npz has"):
            hs.open_index(index.folder)
    (index.folder / "statistics.npz").write_bytes(b"PK")
    with pytest.raises(FileFormatError, match="statistics.npz"):
        hs.open_index(index.folder)
