import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate.errors import ArgumentError, DeviceError
from hiddenstate.models.language import sampling as sampling_module
from hiddenstate.models.language.language_model import LanguageModel, generate, reader
from hiddenstate.models.language.sampling import Sampling, keep_likeliest
from language_models import KINDS, make

kinds = pytest.mark.parametrize("kind", KINDS)
# The critical value of chi-square at 0.1 %, by degrees of freedom.
CHI_SQUARE = {2: 13.8, 3: 16.3, 4: 18.5, 5: 20.5}


def written(model: LanguageModel, prompt: str = "the", length: int = 30, samples: int = 1, **sampling: Any) -> Any:
    return list(generate(model, model.tokens.encode(prompt), length, Sampling(**sampling), samples))


def said_after(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """The log-probability of each token after a line end and these ids, in one call."""
    with torch.no_grad():
        said: torch.Tensor = model(torch.tensor([model.tokens.start, *ids])[:, None])[0]
    return said[-1, 0]


@kinds
def test_greedy_is_the_likeliest_each_time(kind: str) -> None:
    model = make(**KINDS[kind])
    # Scores divided by the smallest number are infinite.
    likeliest: list[dict[str, Any]] = [{"temperature": temperature} for temperature in (0.0, 1e-7, 1e-40, 5e-324)]
    for sampling in [*likeliest, {"top_k": 1}, {"top_k": 1, "temperature": 3.0}]:
        got = written(model, length=12, unknown=True, **sampling)
        ids = model.tokens.encode("the").tolist()
        for chosen in got:
            assert chosen == said_after(model, ids).argmax()
            ids.append(int(chosen))


@kinds
def test_same_seed_same_text(kind: str) -> None:
    model = make(**KINDS[kind])
    first = written(model, seed=3)
    assert first == written(model, seed=3)
    assert first != written(model, seed=4)
    assert first[:7] == written(model, length=7, seed=3)


def test_noise_is_drawn_in_any_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    whole = written(model, seed=3)
    monkeypatch.setattr(sampling_module, "_NOISE_BLOCK", 1)
    assert written(model, seed=3) == whole


@kinds
def test_side_by_side_each_sample_is_as_alone(kind: str) -> None:
    model = make(**KINDS[kind])
    many = np.array(written(model, samples=3, seed=5))
    assert many.shape == (30, 3)
    assert many[:, 0].tolist() == written(model, seed=5)
    assert many[:, :2].tolist() == np.array(written(model, samples=2, seed=5)).tolist()
    assert not (many[:, 0] == many[:, 1]).all()


def first_choices(model: LanguageModel, count: int, **sampling: Any) -> Counter[int]:
    """The first tokens of very many samples."""
    (chosen,) = written(model, prompt="the c", length=1, samples=count, **sampling)
    return Counter(chosen.tolist())


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 0.6},
        {"temperature": 1.7, "unknown": True},
        {"top_k": 4},
        {"top_p": 0.7},
        {"top_k": 6, "top_p": 0.8, "temperature": 1.3},
    ],
)
@pytest.mark.parametrize("kind", ["plain", "adaptive"])
def test_samples_are_distributed_as_the_model_says(kind: str, sampling: dict[str, Any]) -> None:
    model, count = make(**KINDS[kind]), 4000
    expected = wanted(said_after(model, model.tokens.encode("the c").tolist()).double(), **sampling)
    got = first_choices(model, count, **sampling)
    assert set(got) <= set(np.flatnonzero(expected))
    # The likeliest few, and all others combined.
    classes = [int(k) for k in np.argsort(-expected)[:4]]
    shares = [expected[k] for k in classes]
    counts = [got[k] for k in classes]
    if 1 - sum(shares) > 0.005:
        shares, counts = [*shares, 1 - sum(shares)], [*counts, count - sum(counts)]
    kept = [(share, n) for share, n in zip(shares, counts, strict=True) if share > 0]
    chi_square = sum((n - count * share) ** 2 / (count * share) for share, n in kept)
    assert chi_square < CHI_SQUARE[max(len(kept) - 1, 2)], (kept, chi_square)


def wanted(
    logp: torch.Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, unknown: bool = False
) -> np.ndarray[Any, Any]:
    """The distribution to choose from, computed slowly."""
    p = (logp / temperature).softmax(-1).numpy()
    if not unknown:
        p[0] = 0
    falling = sorted(range(len(p)), key=lambda k: -p[k])
    if top_k:
        falling = falling[:top_k]
    total, kept, mass = sum(p[k] for k in falling), [], 0.0
    for k in falling:
        if mass < top_p * total:
            kept.append(k)
        mass += p[k]
    chosen = np.zeros_like(p)
    chosen[kept] = p[kept]
    given: np.ndarray[Any, Any] = chosen / chosen.sum()
    return given


def test_later_choices_are_distributed_as_the_model_says() -> None:
    model, count = make(), 3000
    pairs = np.array(written(model, prompt="the", length=2, samples=count, unknown=True))
    (first, times), *_ = Counter(pairs[0].tolist()).most_common(1)
    p = said_after(model, [*model.tokens.encode("the").tolist(), first]).exp().numpy()
    got = Counter(pairs[1][pairs[0] == first].tolist())
    classes = np.argsort(-p)[:4]
    shares = [*p[classes], 1 - p[classes].sum()]
    counts = [*(got[int(k)] for k in classes), times - sum(got[int(k)] for k in classes)]
    assert sum((n - times * s) ** 2 / (times * s) for s, n in zip(shares, counts, strict=True)) < CHI_SQUARE[4]


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=9), st.integers(0, 10), st.floats(0.01, 1))
def test_keep_likeliest(values: list[float], top_k: int, top_p: float) -> None:
    scores = np.array([values, values[::-1]], np.float32)
    kept = scores.copy()
    keep_likeliest(kept, top_k, top_p)
    assert np.isfinite(kept).any(-1).all()
    assert (kept[0] == kept[1][::-1]).all()
    there = np.isfinite(kept[0])
    assert (kept[0][there] == scores[0][there]).all()
    # Every excluded token is less likely than every included one.
    assert not (~there).any() or scores[0][there].min() > scores[0][~there].max()
    p = np.exp(scores[0].astype(np.float64))
    if not top_k or top_k >= len(values):
        assert p[there].sum() >= top_p * p.sum() * (1 - 1e-6)
    if len(set(values)) == len(values):
        assert there.sum() <= (top_k or len(values))


def test_unknown_is_not_written_unless_wanted() -> None:
    model = make()
    with torch.no_grad():
        model.head.get_parameter("bias")[0] = 50.0
    assert 0 not in written(model, length=50)
    assert 0 not in written(model, length=50, top_k=1)
    assert set(written(model, length=50, unknown=True)) == {0}


@kinds
def test_text_is_written_as_it_is_chosen(kind: str) -> None:
    model = make(**KINDS[kind])
    pieces = model.generate("the", 20, Sampling(seed=2))
    first = list(itertools.islice(pieces, 5))
    text = "".join([*first, *pieces])
    ids = written(model, length=20, seed=2)
    assert text == model.tokens.text_of(map(int, ids), after=int(model.tokens.encode("the")[-1]))
    assert model.generate_many("the", 20, 2, Sampling(seed=2))[0] == text


@pytest.mark.parametrize("prompt", ["", "e", "日本 😀 what is not known", "a line\n", "the " * 300])
@pytest.mark.parametrize("kind", ["plain", "word"])
def test_any_prompt(kind: str, prompt: str) -> None:
    model = make(**KINDS[kind])
    got = written(model, prompt, 1, top_k=1, unknown=True)
    assert got[0] == said_after(model, model.tokens.encode(prompt).tolist()).argmax()


def test_no_length() -> None:
    assert "".join(make().generate("the", 0)) == ""
    assert make().generate_many("the", 0, 2, Sampling()) == ["", ""]


@pytest.mark.parametrize("samples", [1, 3])
def test_bf16_is_close(samples: int) -> None:
    model = make()
    prompt = model.tokens.encode("the cat")
    fine, coarse = (reader(model, samples, precision) for precision in ("fp32", "bf16"))
    ids = np.array([3] * samples) if samples > 1 else np.int64(3)
    for begin, step in (fine, coarse):
        begin(prompt.tolist())
        step(ids)
    np.testing.assert_allclose(coarse[1](ids), fine[1](ids), atol=0.05)
    assert len(list(generate(model, prompt, 9, Sampling(), samples, "bf16"))) == 9
    assert model.lstm.weight_hh_l0.dtype is torch.float32


def test_training_mode_makes_no_difference() -> None:
    model = make(dropout=0.5, weight_drop=0.5)
    want = written(model)
    assert written(model.train()) == want
    assert model.training


def test_fails() -> None:
    model = make()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"temperature": -1.0}, "temperature must be at least 0"),
        ({"temperature": float("nan")}, "temperature must be at least 0"),
        ({"temperature": float("inf")}, "temperature must be at least 0"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"length": -1}, "length must be at least 0 and samples at least 1, got -1 and 1"),
        ({"precision": "int8"}, "precision must be one of fp32 bf16"),
    ]
    for wrong, message in cases:
        options = {name: wrong.pop(name) for name in ("length", "precision") if name in wrong}
        with pytest.raises(ArgumentError, match=message):
            model.generate("the", sampling=Sampling(**wrong), **options)
    with pytest.raises(ArgumentError, match="samples at least 1, got 3 and 0"):
        model.generate_many("", 3, 0)
    with pytest.raises(ArgumentError, match="can't continue a prompt"):
        make(backward=True).generate("the")
    with pytest.raises(DeviceError, match="runs on the CPU"):
        make().to("meta").generate("the")
