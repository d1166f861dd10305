"""`Tagger.pipe`: a stream of sentences, tagged lazily and in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.models.tagger import tagging
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu

TRAIN = read_conllu(Path(__file__).parents[2] / "data" / "tiny-train.conllu")
SENTENCES = [sentence.forms for sentence in TRAIN]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.build(TaggerConfig(word_size=4, char_size=4, char_hidden_size=4, hidden_size=4), TRAIN)


@pytest.mark.parametrize("batch_size", [1, 3, 4000])
def test_each_sentence_is_tagged_as_by_tag_in_the_order_of_the_input(tagger: Tagger, batch_size: int) -> None:
    given = [*SENTENCES[:20], (), *SENTENCES[20:30]]
    wanted = tagger.tag(given)
    found = list(tagger.pipe(iter(given), batch_size))
    assert [each.words for each in found] == given
    assert [each.tags for each in found] == [each.tags for each in wanted]


def test_only_a_batch_is_read_ahead(tagger: Tagger) -> None:
    taken = list[int]()

    def endless() -> Iterator[tuple[str, ...]]:
        while True:
            taken.append(1)
            yield SENTENCES[len(taken) % 30]

    found = tagger.pipe(endless(), 5)
    assert not taken
    for _ in range(6):
        next(found)
    assert len(taken) == 10


def test_a_batch_of_long_sentences_ends_early(tagger: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[int]()
    score = tagger._scored

    def counted(*arguments: Any) -> Any:
        sizes.append(len(arguments[0]))
        return score(*arguments)

    monkeypatch.setattr(tagger, "_scored", counted)
    monkeypatch.setattr(tagging.in_batches, "__defaults__", (100,))
    assert len(list(tagger.pipe([["dog"] * 60] * 5, 1000))) == 5
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([["a"]], 0), ArgumentError, "batch_size must be at least 1, got 0"),
        (([["a"]], 2.5), ArgumentTypeError, "batch_size should be of type int"),
        (("a text",), ArgumentTypeError, "each a list of words; got a text"),
    ],
)
def test_wrong_arguments_fail_at_once(
    tagger: Tagger, arguments: tuple[Any, ...], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        tagger.pipe(*arguments)
    with pytest.raises(ArgumentError, match="precision must be fp32 or bf16"):
        tagger.pipe([["a"]], precision="int8")


@pytest.mark.parametrize("item", ["a text", [5], [["a"], "b"]])
def test_what_is_no_sentence_fails(tagger: Tagger, item: Any) -> None:
    with pytest.raises(ArgumentTypeError):
        list(tagger.pipe([["a"], item]))
