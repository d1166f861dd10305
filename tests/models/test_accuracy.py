from pathlib import Path

import pytest
import torch

from hiddenstate.models.accuracy import Accuracy, evaluate, words_of
from hiddenstate.models.config import TaggerConfig
from hiddenstate.models.tagger import Tagger
from hiddenstate.text.conllu import parse_conllu, read_conllu

SENTENCES = read_conllu(Path(__file__).parents[1] / "data" / "tiny-train.conllu")


@pytest.fixture
def tagger() -> Tagger:
    return Tagger.build(TaggerConfig(word_size=4, hidden_size=4), SENTENCES)


def test_evaluate(tagger: Tagger) -> None:
    sentences = parse_conllu(
        "1\tdog\t_\tNOUN\t_\t_\t_\t_\t_\t_\n2\tzebra\t_\tNOUN\t_\t_\t_\t_\t_\t_\n3\tx\t_\t_\t_\t_\t_\t_\t_\t_\n"
    )
    with torch.no_grad():
        tagger.head.weight.zero_()
        tagger.head.bias[tagger.tag_names.index("NOUN")] = 9.0
    accuracy = evaluate(tagger, sentences, known=words_of(SENTENCES))
    assert accuracy == Accuracy(words=2, correct=2, unknown_words=1, unknown_correct=1)
    assert (accuracy.share, accuracy.unknown_share) == (1.0, 1.0)
    assert str(accuracy) == "100.00 % of 2 words, 100.00 % of 1 unknown words"


def test_accuracy_of_nothing(tagger: Tagger) -> None:
    nothing = evaluate(tagger, [], known=frozenset())
    assert (nothing.share != nothing.share, nothing.unknown_share != nothing.unknown_share) == (True, True)
