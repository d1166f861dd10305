import json
import random
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hiddenstate.text.conllu import read_conllu
from hiddenstate.text.tokenise import PATTERN, tokenise
from studio.bundles import bundle_of
from studio.runtime.driver import Runtime
from studio.runtime.test_tagger import make

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "tokenise.json").read_bytes())
NEW = [*"😀👩👧🇩🇪🏽", "\u200d", "\ufe0f", "\U0001d4b6", "\U0001d7d9", "\u0301", "\u0308"]
MARKS = [*"''\u2019`.,:;-_/@&!?()[]\"“”$€%+*<3=^|#~", "n't", "'s", "www.", "http://", ".com", "Dr.", "etc.", "no."]


@cache
def old() -> list[str]:
    """Recent additions to Unicode differ between Pythons and browsers; everything in 3.2 is the same."""
    return [chr(k) for k in range(0x110000) if unicodedata.ucd_3_2_0.category(chr(k)) not in ("Cn", "Cs", "Co")]


@cache
def spaces() -> list[str]:
    return [char for char in old() if char.isspace()]


def asked(runtime: Runtime, name: str, texts: list[str]) -> list[Any]:
    """Lone surrogates can only be passed as escapes."""
    script = """async ([pattern, name, texts]) => {
      const { tokeniser } = await import("studio/runtime/tokenise.js");
      const made = tokeniser(pattern);
      return JSON.stringify(JSON.parse(texts).map((text) => made[name](text)));
    }"""
    return json.loads(runtime.page.run(script, [PATTERN, name, json.dumps(texts)]))  # type: ignore[no-any-return]


def test_vectors(runtime: Runtime) -> None:
    texts, wanted = zip(*VECTORS["tokenise"], strict=True)
    assert asked(runtime, "tokenise", list(texts)) == list(wanted)


def test_same_words_on_the_corpus(runtime: Runtime, corpora: Path) -> None:
    lines = [line for s in read_conllu(corpora / "ud_english_ewt" / "en_ewt-ud-dev.conllu") for line in s.lines]
    texts = [line[9:] for line in lines if line.startswith("# text = ")]
    assert len(texts) > 1000
    assert asked(runtime, "tokenise", texts) == [tokenise(text) for text in texts]


def drawn(seed: int, count: int, *alphabets: list[str]) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice(draw.choice(alphabets)) for _ in range(draw.randint(1, 30))) for _ in range(count)]


LETTERS = list("abcdnotsAIDNTS0123 ")


@pytest.mark.parametrize("name", ["tokenise", "split"])
@pytest.mark.parametrize(
    "alphabets",
    [
        lambda: (old(),),
        lambda: (old(), NEW, MARKS, LETTERS),
        lambda: (MARKS, LETTERS),
        lambda: (spaces(), LETTERS, NEW),
    ],
    ids=["old", "all", "marks and letters", "spaces, letters and new"],
)
def test_same_on_random_texts(runtime: Runtime, name: str, alphabets: Callable[[], tuple[list[str], ...]]) -> None:
    texts = drawn(6, 4000, *alphabets())
    python: dict[str, Callable[[str], list[str]]] = {"tokenise": tokenise, "split": str.split}
    assert asked(runtime, name, texts) == [python[name](text) for text in texts]


def test_classes_of_all_characters(runtime: Runtime) -> None:
    text = [f"{char}{char}a1" for char in old()]
    assert asked(runtime, "tokenise", text) == [tokenise(each) for each in text]


def lowered(runtime: Runtime, words: list[str]) -> list[str]:
    return runtime.page.run("(words) => words.map((word) => word.toLowerCase())", words)  # type: ignore[no-any-return]


def test_same_lower_case(runtime: Runtime) -> None:
    alpha, sigma = "\u0391", "\u03a3"  # sigma, whose lower-case form differs at the end of a word
    before, after = ("", alpha, "1", f"{alpha}\u0301", "\u0301"), ("", alpha, ".", f"\u0301{alpha}", "'")
    words = [*old(), "İSTANBUL", "ǅ", "ẞ", *(f"{a}{sigma}{b}" for a in before for b in after)]
    assert lowered(runtime, words) == [word.lower() for word in words]


def test_long_texts_take_linear_time(runtime: Runtime) -> None:
    pieces = ["a-", "a.", "1-123-", ".", "a+", ":)", "x' ", "It is so. ", "^_", "!a", "w/", "@a"]
    texts = [piece * 20_000 for piece in pieces]
    assert asked(runtime, "tokenise", texts) == [tokenise(text) for text in texts]


def test_a_damaged_pattern_fails(runtime: Runtime) -> None:
    bundle = bundle_of(make())
    for damage in (None, {}, {**PATTERN, "piece": {"word": "{nothing}"}}, {**PATTERN, "two_words": {"word": "("}}):
        with runtime.refuses("the tokeniser's pattern can't be used"):
            runtime.load_raw(json.dumps({**bundle.head, "tokeniser": damage}).encode(), bundle.weights)
