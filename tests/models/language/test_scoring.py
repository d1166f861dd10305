import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.scoring import Scored, Tally, measure, score
from hiddenstate.text.tokens import END_TOKEN, UNKNOWN_ID
from language_models import KINDS, TEXT, make


def scored(model: LanguageModel, text: str, steps: int = 128) -> list[Scored]:
    return list(score(model, io.BytesIO(text.encode()), steps=steps))


def nats_of(parts: list[Scored]) -> NDArray[np.float32]:
    return np.concatenate([part.nats for part in parts])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_scores_are_what_the_model_says(kind: str, steps: int) -> None:
    model = make(**KINDS[kind])
    text = TEXT + "an unknown ☃\n"
    ids = model.tokens.encode(text)
    parts = scored(model, text, steps)
    assert np.concatenate([part.ids for part in parts]).tolist() == ids.tolist()
    assert {len(part.ids) for part in parts[:-1]} <= {steps}
    with torch.no_grad():
        said, _ = model(torch.from_numpy(np.concatenate([[model.tokens.start], ids[:-1]]))[:, None].long())
    want = -said[range(len(ids)), 0, ids]
    np.testing.assert_allclose(nats_of(parts), want.numpy(), atol=1e-4)
    total = sum((part.tally for part in parts), Tally())
    assert (total.tokens, total.unknown) == (len(ids), (ids == UNKNOWN_ID).sum())
    assert total.nats == pytest.approx(measure(model, ids).nats, rel=1e-5)
    assert total.characters == len(text)


def test_pieces_are_those_of_the_text() -> None:
    text = "the bear sat ☃\n\nhe\n"
    characters = scored(make(), text)
    assert "".join(str(part.pieces) for part in characters) == text
    (words,) = scored(make(level="word"), text)
    assert words.pieces == ["the", "bear", "sat", "☃", END_TOKEN, END_TOKEN, "he", END_TOKEN]
    assert [k for k, number in enumerate(words.ids) if number == UNKNOWN_ID] == [1, 3, 6]
    assert words.tally.characters == len(text)


def test_a_text_without_a_last_line_end() -> None:
    (part,) = scored(make(level="word"), "the cat")
    assert part.pieces == ["the", "cat", END_TOKEN]
    (part,) = scored(make(), "t")
    assert part.pieces == "t"


@pytest.mark.parametrize("text", ["", "\ufeff"])
def test_an_empty_text_has_no_scores(text: str) -> None:
    assert scored(make(), text) == []
    assert scored(make(level="word"), text) == []


def test_the_model_stays_as_it_is() -> None:
    model = make(dropout=0.5).train()
    before = copy.deepcopy(model.state_dict())
    plain = scored(model, TEXT)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    np.testing.assert_array_equal(nats_of(plain), nats_of(scored(model.eval(), TEXT)))


def test_long_input_is_scored_as_it_comes() -> None:
    class Endless(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return b"the cat " * 10

    some = score(make(), Endless(), steps=8)
    assert [next(some).pieces for _ in range(3)] == ["the cat "] * 3


def test_fails(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="can't score a stream"):
        score(make(backward=True), io.BytesIO(b"a"))
    path = tmp_path / "latin1.txt"
    path.write_bytes(b"caf\xe9")
    with pytest.raises(FileFormatError, match=r"latin1\.txt: not UTF-8"):
        list(score(make(), path))
