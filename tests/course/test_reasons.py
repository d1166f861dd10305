"""The sentences of checks are true: each is said only of its own error, and counts and formulas in them are right."""

import itertools
import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch

from course.chapters import PAGES, directives
from coursebook.pages import choices_of
from hiddenstate.course.exercises import answers, chapter_3, chapter_6, chapter_8, losses, training_loops
from hiddenstate.course.exercises.answers import Typical, same, seeded
from hiddenstate.course.figures.numeric_answers import computed, parameters
from hiddenstate.nn.lstm import LSTM

COUNTS: dict[int, dict[int, float]] = {  # what the wrong answers to exercise 1.5 count, by its two questions
    0: {
        540000: 108 * 5000,
        60060: parameters(5000, 3),
        81: 108 * 3 / 4,
        114: 108 + 2 * 3,
        96: 108 - 12,
        84: 4 * 3 * (4 + 3),
        27: 108 / 4,
        72: 108 - 4 * 3 * 3,
        48: 4 * 3 * 4,
        144: parameters(3, 4),
    },
    1: {108: parameters(4, 3), 192: 2 * 96, 168: 2 * 84, 162: 2 * 81},
}


def confused(typical: Iterable[Typical], right: object) -> list[tuple[str, str]]:
    """Pairs of errors with different sentences and the same result, which is not the right one."""
    errors = [error for error in typical if not same(error.result, right)]
    return [
        (a.sentence, b.sentence)
        for a, b in itertools.combinations(errors, 2)
        if a.sentence != b.sentence and same(a.result, b.result)
    ]


def test_no_two_errors_of_a_baseline_have_the_same_shares() -> None:
    texts = [chapter_3._drawn(seed, words) for seed, words in chapter_3.DRAWN]
    right = tuple(chapter_3._share(*text) for text in texts)
    by_text = (chapter_3._typical_shares(-1.0, *text) for text in texts)
    errors = [
        Typical(" ".join(error.sentence for error in each), tuple(error.result for error in each))
        for each in zip(*by_text, strict=True)
    ]
    assert confused(errors, right) == []


def test_no_two_errors_of_a_training_loop_lead_to_the_same_weights() -> None:
    with seeded(31):
        untrained = training_loops._Tagger().double().eval()
        batches = [training_loops.padded_batch(lengths) for lengths in chapter_3.LENGTHS]
    loops = (training_loops.TrainingLoop(), *training_loops.LOOPS)
    ends = [training_loops._trained(untrained, batches, loop) for loop in loops]
    errors = [(loop, end) for loop, end in zip(loops, ends, strict=True) if answers.differing(end, ends[0])]
    assert len(errors) >= len(training_loops.LOOPS) - 2  # a norm that no gradient exceeds clips none
    for (a, end), (b, other) in itertools.combinations(errors, 2):
        assert a.sentence == b.sentence or answers.differing(end, other), (a.sentence, b.sentence)


@pytest.mark.parametrize("sizes", [[4, 1, 6, 3], [2, 2, 10]])
def test_no_two_errors_of_chunks_have_the_same_output(sizes: list[int]) -> None:
    with seeded(61), torch.no_grad():
        lstm, x = LSTM(3, 5), torch.randn(sum(sizes), 2, 3)
        right, _ = lstm(x)
        typical = list(chapter_6._typical_chunks(lstm, x, sizes, right, torch.zeros_like(right)))
    assert confused(typical, right) == []


def test_no_two_errors_of_an_interval_have_the_same_width() -> None:
    torch.manual_seed(0)
    hard = 10 * torch.rand(2400).double()
    noise = torch.randn(2400).double().cumsum(0) / 20
    widths = chapter_8._half_widths(hard + torch.randn(2400) + noise, hard - 0.5 + torch.randn(2400))
    errors = [(width, sentence) for width, sentence in widths if sentence]
    for (a, first), (b, second) in itertools.combinations(errors, 2):
        same_error = first.removesuffix(".").startswith(second.removesuffix(".")[:40])
        assert same_error or abs(a / b - 1) > 1e-3, (first, second)


def test_no_two_errors_of_a_baseline_of_pairs_have_the_same_losses() -> None:
    torch.manual_seed(0)
    chances = torch.randn(12, 12).mul(2).softmax(1)
    text = [0]
    for _ in range(3000):
        text.append(int(torch.multinomial(chances[text[-1]], 1)))
    train, test = torch.tensor(text[:2600]), torch.tensor(text[2600:])
    errors = list(losses.typical_baselines(train, test))
    for (a, first), (b, second) in itertools.combinations(errors, 2):
        both_add = "to every count" in first and "to every count" in second
        assert both_add or float((a - b).abs().mean()) > 0.03 * float(a.mean()), (first, second)


def test_what_wrong_counts_are_said_to_count_is_that_number() -> None:
    (made,) = (made for page in PAGES for made in directives(page, "exercise") if made.argument == "1.5")
    for k, section in enumerate(made.all("ask")):
        counts = COUNTS[k]
        assert {int(choice.text) for choice in choices_of(section.text)[1]} == set(counts)
        assert all(number == count for number, count in counts.items())


def test_formulas_in_the_reasons_of_one_step_by_hand_give_their_number() -> None:
    (made,) = (made for page in PAGES for made in directives(page, "exercise") if made.argument == "2.3")
    values: dict[str, Any] = {
        "i": 0.6,
        "f": 0.7,
        "g": 0.5,
        "o": 0.8,
        "c_prev": -1.5,
        "c": -0.75,
        "tanh": lambda c: torch.tensor(c).tanh(),
    }
    tried = 0
    for section in made.all("ask"):
        for choice in choices_of(section.text)[1]:
            for formula in re.findall(r"(?:That is|omits i:) ([-+()·_a-z1 ]+?)(?=[.,](?: |$)| itself)", choice.because):
                result = float(eval(formula.replace("·", "*").replace("tanh(", "tanh(1.0 * "), {}, values))
                assert result == pytest.approx(float(choice.text), abs=6e-4), (choice.text, formula)
                tried += 1
    assert tried >= 10
    kind, _, given = made.all("ask")[0].argument.partition(" ")
    assert computed(kind, given) == pytest.approx([-0.75])
