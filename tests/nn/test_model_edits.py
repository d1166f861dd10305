"""Edits inside models: traces, edits and explanations use the same names for places."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from support import assert_close


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 3, num_layers=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rnn(x)[0]
        return out


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(x))
        return out


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = hs.LSTM(4, 3)
        self.b = hs.LSTM(3, 3, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.a(x)[0])[0]
        return out


PATH = "encoder.rnn"
x, other = (torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))


@pytest.fixture(params=["converted", "accelerated"])
def model(request: pytest.FixtureRequest) -> Iterator[nn.Module]:
    torch.manual_seed(0)
    made = Model()
    with hs.accelerate() if request.param == "accelerated" else nullcontext():
        yield hs.convert(made) if request.param == "converted" else made


def copies(place: str, source: hs.Trace | hs.ModelTrace) -> list[hs.Edit]:
    return [
        hs.patch(place, source=source, t=3),
        hs.patch(f"{place}[1]@2,n=1", source=source),
        hs.mean_ablation(place, source=source),
        hs.resample_ablation(place, source=source),
    ]


@pytest.mark.parametrize("place", [f"{PATH}.l1.h", "l1.h", f"{PATH}.l0.c"])
@torch.no_grad()
def test_copies_from_any_trace_at_any_spelling_are_those_of_the_layer(model: Any, place: str) -> None:
    converted: Any = hs.convert(model)
    run, plain = hs.trace(model, other), converted.encoder.rnn
    source, name = plain.trace(other), place.removeprefix(f"{PATH}.")
    for k, want in enumerate(copies(name, source)):
        with plain.edit(want):
            out = model.head(plain(x)[0])
        for of in (run, run[PATH]):
            with hs.edit(model, copies(place, of)[k]):
                assert_close(model(x), out)
        assert not torch.equal(model(x), out)


def test_a_trace_keeps_places_of_a_path() -> None:
    two = Two()
    run = hs.trace(two, x, keep=["a.l0.f", "a.l0.f", "l0.h", "b.l0r.c"])
    assert run["a"].names == ("l0.f", "l0.h")
    assert run["b"].names == ("l0.h", "l0r.c")
    with pytest.raises(NameUnknownError, match=r"no place 'a\.l0r\.f' in this model: its places are a\.l0\.\{i,f,g"):
        hs.trace(two, x, keep=["a.l0r.f"])


def test_what_names_no_place_is_told_the_places_there_are(model: nn.Module) -> None:
    for place in ("rnn.l0.f", f"{PATH}.l7.f", "l7.f", "q"):
        with (
            pytest.raises(NameUnknownError, match=r"its places are encoder\.rnn\.\{l0,l1\}\.\{i,f,g,o,c,h\}$"),
            hs.edit(model, hs.zero(place)),
        ):
            pass
    with pytest.raises(NameUnknownError, match=r"its places are"), hs.edit(model, hs.zero(3)):  # type: ignore[arg-type]
        pass
    run = hs.trace(model, x)
    with pytest.raises(NameUnknownError, match=r"no layer or cell was recorded as 'rnn': the run has 'encoder\.rnn'"):
        hs.patch("rnn.l0.f", source=run)
    with pytest.raises(NameUnknownError, match=r"write run\['encoder\.rnn'\]\['l1\.h'\]"):
        run[f"{PATH}.l1.h"]


def test_without_a_path_one_of_several_is_not_guessed() -> None:
    two = Two()
    with (
        pytest.raises(NameUnknownError, match=r"its places are a\.l0\..*, b\.\{l0,l0r\}"),
        hs.edit(two, hs.zero("l0.f")),
    ):
        pass
    with pytest.raises(NameUnknownError, match=r"several modules: 'a', 'b'"):
        hs.patch("l0.f", source=hs.trace(two, x))
    with hs.edit(two, hs.zero("b.l0r.f")):
        two(x)


def test_models_of_torchs_lstms_say_how_they_can_be_edited() -> None:
    with (
        pytest.raises(NameUnknownError, match=r"torch's own \('encoder\.rnn'\).*hs\.accelerate"),
        hs.edit(Model(), hs.zero("l0.f")),
    ):
        pass
    with pytest.raises(NameUnknownError, match=r"place with a module path.*hs\.edit"):
        hs.LSTM(4, 3).edit(hs.zero("rnn.l0.f"))


def test_what_is_no_trace_or_seed_is_refused() -> None:
    for edit in (hs.patch, hs.mean_ablation, hs.resample_ablation):
        with pytest.raises(ArgumentTypeError, match="trace of a run, got Tensor"):
            edit("rnn.l0.f", source=x)  # type: ignore[arg-type]
    run = hs.trace(Two(), x)
    with pytest.raises(ArgumentTypeError, match="seed"):
        hs.resample_ablation("a.l0.f", source=run, seed="1")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="seed"):
        hs.resample_ablation("a.l0.f", source=run, seed=-1)
    edits = hs.resample_ablation("a.l0.f", source=run), hs.resample_ablation("a.l0.f", source=run, seed=0)
    first, second = (torch.as_tensor(edit.value) for edit in edits)
    assert torch.equal(first, second)
