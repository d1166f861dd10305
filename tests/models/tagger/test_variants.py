import random

import pytest

from hiddenstate.models.tagger.syllabus import make_variants, select_like

WORDS = ["giraffe", "Giraffes", "a", "USA", "n't", ".", "straße", "ﬁn", "5", "ǆ"]
SENTENCES = [tuple(random.Random(k).choices(WORDS, k=k % 18)) for k in range(1000)]


def capitalised(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word[:1].upper() + word[1:] for word in words)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_variant_is_of_one_of_four_kinds(seed: int) -> None:
    kinds = dict.fromkeys(("lower", "upper", "title", "part"), 0)
    for words, (varied, start) in zip(SENTENCES, make_variants(SENTENCES, seed), strict=True):
        place = words[start : start + len(varied)]
        wholes = {
            "lower": tuple(map(str.lower, words)),
            "upper": tuple(map(str.upper, words)),
            "title": capitalised(words),
        }
        found = [kind for kind, whole in wholes.items() if (varied, start) == (whole, 0)]
        is_part = varied == capitalised(place[:1]) + place[1:] and len(varied) >= min(2, len(words))
        assert found or is_part
        if len(found) + is_part == 1:
            kinds[found[0] if found else "part"] += 1
    part = kinds.pop("part")
    assert part > 0.4 * len(SENTENCES)
    assert all(count > 0.1 * len(SENTENCES) for count in kinds.values())


def test_the_seed_decides() -> None:
    assert make_variants(SENTENCES, 3) == make_variants(SENTENCES, 3) != make_variants(SENTENCES, 4)


def test_parts_begin_and_end_anywhere() -> None:
    sentence = tuple("abcde")
    many = make_variants([sentence] * 2000, 0)
    spans = {(start, start + len(words)) for words, start in many}
    assert spans == {(start, end) for start in range(4) for end in range(start + 2, 6)}


def test_what_belongs_to_the_words_follows_them() -> None:
    places = [range(len(words)) for words in SENTENCES]
    variants = make_variants(SENTENCES, 5)
    for words, (varied, start), row in zip(SENTENCES, variants, select_like(variants, places), strict=True):
        assert list(row) == list(range(start, start + len(varied)))
        assert [words[place].upper() for place in row] == [word.upper() for word in varied]
    assert select_like([], places) == []
