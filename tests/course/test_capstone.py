"""The capstone's checks on a series (the page runs them on a text). For each property there is an answer that lacks
it."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from hiddenstate.course import check, data
from hiddenstate.edits.edit import Edit
from hiddenstate.errors import AnswerError
from hiddenstate.nn.lstm import LSTM

SERIES = torch.tensor([float(line) for line in data("tide.csv").read_text(encoding="utf-8").split()])
TRAIN, TEST = SERIES[:1200], SERIES[1200:]


def persistence(train: Tensor, x: Tensor) -> Tensor:
    return (x[1:] - x[:-1]) ** 2


def mean_of_train(train: Tensor, x: Tensor) -> Tensor:
    return (x[1:] - train.mean()) ** 2


def mean_of_what_is_tested(train: Tensor, x: Tensor) -> Tensor:
    return (x[1:] - x.mean()) ** 2


def half_of_the_answer(train: Tensor, x: Tensor) -> Tensor:
    return (x[1:] - (x[:-1] + x[1:]) / 2) ** 2


def straight_on(x: Tensor) -> Tensor:
    before = torch.cat([x[:1], x[:-2]])
    return (x[1:] - (2 * x[:-1] - before)) ** 2


def corrected(x: Tensor, *edits: Edit) -> Tensor:
    """The losses of a straight line with a small correction by an LSTM."""
    torch.manual_seed(0)
    lstm = LSTM(1, 1)
    before = torch.cat([x[:1], x[:-2]])
    with torch.no_grad(), lstm.edit(*edits):
        out, _ = lstm(x[:-1, None, None])
    losses: Tensor = (x[1:] - (2 * x[:-1] - before) - 0.1 * out[:, 0, 0]) ** 2
    return losses


def absolute_error(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1]).abs()


def looks_ahead(x: Tensor) -> Tensor:
    after = torch.cat([x[2:], x[-1:]])
    return (x[1:] - (x[:-1] + after) / 2) ** 2


def noisy(x: Tensor) -> Tensor:
    return (x[1:] - x[:-1] + torch.randn(len(x) - 1)) ** 2


def pairs(train: Tensor, x: Tensor) -> Tensor:
    counts = torch.full((10, 10), 0.1)
    counts.index_put_((train[:-1], train[1:]), torch.ones(len(train) - 1), accumulate=True)
    return -(counts / counts.sum(1, keepdim=True))[x[:-1], x[1:]].log2()


def live(elements: Iterator[Tensor]) -> Iterator[Tensor]:
    read: list[Tensor] = []
    for element in elements:
        if read:
            yield (element - (2 * read[-1] - read[-2 if len(read) > 1 else -1])) ** 2
        read.append(element)


def late(elements: Iterator[Tensor]) -> Iterator[Tensor]:
    before = torch.zeros(())
    for loss in live(elements):
        yield before
        before = loss


def half_of_the_square(x: Tensor) -> Tensor:
    return straight_on(x) / 2


def lower_and_upper(middle: float, half: float) -> tuple[float, float]:
    return middle - half, middle + half


GAIN = persistence(TRAIN, TEST) - straight_on(TEST)
BLOCKS = GAIN[: len(GAIN) // 20 * 20].view(20, -1).mean(1)
PAIRED = lower_and_upper(GAIN.mean().item(), 2 * BLOCKS.std().item() / 20**0.5)
BOTH = persistence(TRAIN, TEST), straight_on(TEST)
WIDE = lower_and_upper(GAIN.mean().item(), 2 * GAIN.std().item())


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("8.1", (range(1200), range(1200, 1440))),
        ("8.1", [range(1000), range(1000, 1200), range(1200, 1440)]),
        ("8.2", (persistence, TRAIN, TEST)),
        ("8.3", (corrected, TEST)),
        ("8.4", (*BOTH, PAIRED)),
        (
            "8.5",
            (
                (torch.arange(500) % 9 == 0) * torch.arange(500.0).cos().square() + 0.01 * torch.arange(500.0).sin(),
                torch.arange(500) % 9 == 0,
            ),
        ),
        ("8.6", (live, straight_on, TEST)),
    ],
)
def test_a_series_may_be_the_learners_own(exercise: str, answer: object, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise, answer)
    assert capsys.readouterr().out.startswith(f"Exercise {exercise}: right. ")


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [
        ("8.1", (range(1300), range(1200, 1440)), "100 positions are in two parts"),
        ("8.1", (range(240, 1440), range(240)), "that has seen the future"),
        ("8.2", (mean_of_train, TRAIN, TEST), "no better than the mean"),
        ("8.2", (mean_of_what_is_tested, TRAIN, TEST), "its counts include that part"),
        ("8.2", (half_of_the_answer, TRAIN, TEST), "not the squared error of a forecast"),
        ("8.3", (lambda x, *edits: straight_on(x), TEST), "changes no loss"),
        ("8.3", (absolute_error, TEST), "The losses are absolute errors. Square them."),
        ("8.3", (half_of_the_square, TEST), "The losses are half of the squared errors."),
        ("8.3", (lambda x: (x[1:] - x[1:].mean()) ** 2, TEST), "Losses change with elements that come later"),
        ("8.3", (lambda x: mean_of_train(TRAIN, x), TEST), "no better than the mean of the held-out part"),
        ("8.3", (looks_ahead, TEST), "is a later element read"),
        ("8.3", (noisy, TEST), "is dropout still active"),
        ("8.4", (*BOTH, lower_and_upper(GAIN.mean().item() + 1, 0.5)), "should be around baseline minus model"),
        ("8.4", (*BOTH, WIDE), "how far single steps spread"),
        ("8.5", (torch.arange(500) % 5 * 1.0, torch.arange(500) % 9 == 0), "the label does not predict it"),
        ("8.6", (late, straight_on, TEST), "shifted by one"),
    ],
)
def test_an_answer_that_lacks_a_property_is_refused_for_it(exercise: str, answer: object, said: str) -> None:
    with pytest.raises(AnswerError, match=said):
        check(exercise, answer)


def test_a_baseline_that_the_exercise_asks_for_is_right_whatever_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """In noise, the mean is better than persistence, and nothing predicts a text of random characters."""
    torch.manual_seed(0)
    noise, text = torch.randn(1440), torch.randint(10, (4000,))
    check("8.2", (mean_of_train, noise[:1200], noise[1200:]))
    check("8.2", (pairs, text[:3400], text[3400:]))
    assert capsys.readouterr().out.count("Exercise 8.2: right. ") == 2
    with pytest.raises(AnswerError, match="no better than the mean"):
        check("8.2", (persistence, noise[:1200], noise[1200:]))
    steps = torch.cat([noise[:1200].cumsum(0), noise[1200:]])  # only in the part held out is the mean better
    check("8.2", (persistence, steps[:1200], steps[1200:] + steps[:1200].mean()))


def test_an_interval_that_is_not_paired_is_refused() -> None:
    torch.manual_seed(0)
    hard = 10 * torch.rand(2000)  # a step that is hard for one model is hard for the other
    base, own = hard + torch.randn(2000), hard - 0.5 + torch.randn(2000)
    middle = (base - own).mean().item()
    apart = 2 * ((base.var() + own.var()) / len(own)).sqrt().item()
    with pytest.raises(AnswerError, match="tested on different steps"):
        check("8.4", (base, own, lower_and_upper(middle, apart)))
    blocks = (base - own).view(20, -1).mean(1)
    check("8.4", (base, own, lower_and_upper(middle, 2 * blocks.std().item() / 20**0.5)))
    lasting = base + torch.randn(20).repeat_interleave(100)  # neighbouring steps are alike
    gain = lasting - own
    by_step = 2.05 * gain.std().item() / len(gain) ** 0.5  # near the right one for independent steps, as a bootstrap is
    with pytest.raises(AnswerError, match=r"Single steps give 0\.\d+, but neighbours are not independent"):
        check("8.4", (lasting, own, lower_and_upper(gain.mean().item(), by_step)))
