"""The accuracy that int8 weights cost the shipped models, and their speed, on given texts.

    python benchmarks/int8_accuracy.py --text TEST.conllu --characters FILE [--seconds S] [--last 50000]

The share of words that the tagger tags as in the file, and the surprise of the character model at the end of the other
file, each in float32 and int8. Times are medians of turns.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

import hiddenstate as hs
import machine
from contestants import Contestant, itself, without_gradient
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import load_language_model, load_tagger
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import Sentence, read_conllu
from measure import Pace, medians
from report import print_figures

FLOAT, INT8 = "float32", "int8"
LONG = Pace(turn=1.0, pause=0.05)
M = TypeVar("M", bound=nn.Module)


def tagging(sentences: Sequence[Sentence], seconds: float) -> None:
    """UPOS of the shipped tagger, in per cent of the words that have one, and words a second."""
    models = in_both(load_tagger("tagger-en"))
    shares = {name: 100 * accuracy(model, sentences) for name, model in models.items()}
    print_figures("words whose UPOS is right, %", shares, decimals=4)
    texts, words = [sentence.forms for sentence in sentences], sum(map(len, sentences))
    runs = [Contestant(name, partial(model.tag, texts), itself) for name, model in models.items()]
    times = medians(runs, seconds, LONG)
    print_figures("words a second", {run.name: words / time for run, time in zip(runs, times, strict=True)})


def in_both(model: M) -> dict[str, M]:
    """The model with float and with int8 weights."""
    rounded = hs.convert(model, weights="int8")
    assert isinstance(rounded, type(model))
    return {FLOAT: model, INT8: rounded}


def accuracy(tagger: Tagger, sentences: Sequence[Sentence]) -> float:
    """The share of words with the file's UPOS; words without one do not count."""
    taggings = tagger.tag([sentence.forms for sentence in sentences])
    right = [
        given == tag
        for sentence, tagging in zip(sentences, taggings, strict=True)
        for given, tag in zip(sentence.upos, tagging.columns["upos"].tags, strict=True)
        if given is not None
    ]
    return sum(right) / len(right)


def reading(text: str, seconds: float, pace: Pace = LONG) -> None:
    """Nats per character that the shipped character model needs for a text, and characters per second."""
    models = in_both(load_language_model("shakespeare"))
    ids = torch.as_tensor(models[FLOAT].tokens.encode(text)).long()
    with torch.no_grad():
        nats = {name: float(surprise(model, ids).mean()) for name, model in models.items()}
    print_figures(f"nats a character, over {len(ids) - 1:,} characters", nats, decimals=5)
    runs = [Contestant(name, without_gradient(partial(surprise, one, ids)), itself) for name, one in models.items()]
    times = medians(runs, seconds, pace)
    print_figures("characters a second", {run.name: len(ids) / time for run, time in zip(runs, times, strict=True)})


def surprise(model: LanguageModel, ids: Tensor) -> Tensor:
    """The surprise of each character except the first, given the previous ones, in one piece."""
    return model.surprise(ids[:-1, None], ids[1:, None])[0]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, metavar="FILE", help="CoNLL-U to tag, with UPOS")
    parser.add_argument("--characters", required=True, type=Path, metavar="FILE", help="plain text, UTF-8")
    parser.add_argument("--last", type=int, default=50_000, help="how many characters of its end to read")
    parser.add_argument("--seconds", type=float, default=10.0, help="measuring time of each model")
    options = parser.parse_args()
    print("\n".join(machine.described()))
    watch = machine.Watch()
    tagging(read_conllu(options.text), options.seconds)
    reading(options.characters.read_text(encoding="utf-8")[-options.last :], options.seconds)
    if warning := watch.warning():
        print(f"\nMeanwhile {warning}")


if __name__ == "__main__":
    main()
