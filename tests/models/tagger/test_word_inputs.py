"""Each word's input is computed once, whatever the batches, and equals its input in the whole sentence."""

import threading
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hiddenstate.errors import ArgumentError
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import WordInputs
from hiddenstate.text.conllu import from_words, with_tags


class Counted:
    """Vectors that encode the word's length, and a list of all computed words."""

    def __init__(self) -> None:
        self.words = list[str]()

    def __call__(self, words: Sequence[str]) -> Tensor:
        self.words += words
        return torch.tensor([[len(word), ord(word[0])] for word in words], dtype=torch.float32).reshape(-1, 2)


def looked_up(inputs: WordInputs, words: Sequence[str]) -> list[list[float]]:
    vectors, rows = inputs.look_up(words)
    found: list[list[float]] = vectors[rows].tolist()
    return found


def test_each_word_is_computed_once() -> None:
    counted = Counted()
    inputs = WordInputs(counted)
    for words in (["a", "bb", "a"], [], ["ccc", "bb"], ["a"]):
        assert looked_up(inputs, words) == [[len(word), ord(word[0])] for word in words]
    assert counted.words == ["a", "bb", "ccc"]


def test_memory_is_bounded_and_what_was_handed_out_stays() -> None:
    counted = Counted()
    inputs = WordInputs(counted, most=4)
    vectors, rows = inputs.look_up(["a", "b", "c"])
    before = vectors[rows].clone()
    assert looked_up(inputs, ["d", "e"]) == [[1, ord("d")], [1, ord("e")]]
    assert looked_up(inputs, ["e", "a", "f", "g", "h"])[1] == [1, ord("a")]  # more than `most` in one call
    assert counted.words == [*"abc", *"de", *"eafgh"]
    assert torch.equal(vectors[rows], before)


def test_inputs_from_inference_mode_are_extended_outside() -> None:
    inputs = WordInputs(Counted())
    with torch.inference_mode():
        looked_up(inputs, ["a"])
        looked_up(inputs, ["b"])
    assert looked_up(inputs, ["c", "a", "b"]) == [[1, ord("c")], [1, ord("a")], [1, ord("b")]]


@pytest.mark.parametrize("char_hidden_size", [0, 4])
def test_a_function_that_remembers_words_tags_as_tag_in_any_batches_and_threads(char_hidden_size: int) -> None:
    words = [[f"w{k * j % 17}" + "x" * (k % 40) for j in range(k % 9)] for k in range(60)]
    sentences = [with_tags(from_words(row), ["AB"[len(word) % 2] for word in row]) for row in words if row]
    torch.manual_seed(1)
    config = TaggerConfig(word_size=4, char_size=4, char_hidden_size=char_hidden_size, hidden_size=4)
    tagger = Tagger.build(config, sentences).eval()
    wanted = tagger.tag(words)
    tag, found = tagger.repeatedly(), dict[int, list[tuple[str, ...]]]()

    def work(first: int) -> None:
        found[first] = [each.tags for k in range(first, 60, 20) for each in tag(words[k : k + 10], 7)]

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first in (0, 10):
        assert found[first] == [each.tags for k in range(first, 60, 20) for each in wanted[k : k + 10]]
    for one, other in zip(wanted, tag(words), strict=True):
        torch.testing.assert_close(one.probabilities, other.probabilities)
    with pytest.raises(ArgumentError, match="at least one character"):
        tag([["a", ""]])
    assert tag([["a"]])[0].words == ("a",)
