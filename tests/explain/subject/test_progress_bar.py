import io
import math

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.explain.subject import progress_bar
from hiddenstate.explain.subject.progress_bar import reporting


class Screen(io.StringIO):
    """A stderr that claims to be a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def shown(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = True, delay: float = 0, progress: bool = True) -> str:
    """Return an explanation's output on stderr."""
    screen = Screen(terminal)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress_bar, "DELAY", delay)
    lstm, x = hs.LSTM(2, 3), torch.randn(5, 1, 2)
    hs.explain.attribute(lstm, x, of="l0.c[1]@4", progress=progress)
    hs.explain.sweep(lstm, x, x + 1, of="l0.c[1]@4", progress=progress)
    hs.explain.dynamics(lstm, x).spectrum(progress=progress)
    hs.explain.selfcheck("ledger", progress=progress)
    hs.explain.graph(lstm, x, of="l0.c[1]@4", progress=progress)
    hs.compare(lstm, lstm, x, progress=progress)
    return screen.getvalue()


def test_a_long_explanation_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch)
    assert "steps" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # and it is gone in the end


def test_nothing_is_shown_where_nobody_looks_or_it_is_not_wanted_or_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False) == ""
    assert shown(monkeypatch, progress=False) == ""
    assert shown(monkeypatch, delay=math.inf) == ""


def test_a_bar_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=True)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress_bar, "DELAY", 0)

    def stopped() -> None:
        with reporting(True) as report:
            assert report is not None
            report(1, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")


def test_a_function_is_told_how_far_each_is() -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(5, 1, 2)
    told: list[list[tuple[int, int]]] = []

    def progress() -> progress_bar.Progress:
        told.append([])
        return lambda done, total: told[-1].append((done, total))

    hs.explain.selfcheck("ledger", progress=progress())
    hs.explain.graph(lstm, x, of="l0.c[1]@4", units=6, progress=progress())
    hs.compare(lstm, lstm, x, progress=progress())
    for each in told:
        assert [done for done, _ in each] == list(range(1, len(each) + 1))
        assert each[-1][0] == each[-1][1]


@pytest.mark.parametrize("progress", ["yes", 3])
def test_what_can_not_be_reported_to_fails(progress: object) -> None:
    lstm, x = hs.LSTM(2, 3), torch.randn(5, 1, 2)
    found = hs.explain.dynamics(lstm, x)
    calls = (
        lambda: hs.explain.attribute(lstm, x, of="l0.c[1]@4", progress=progress),  # type: ignore[call-overload]
        lambda: hs.explain.sweep(lstm, x, x, of="l0.c[1]@4", progress=progress),  # type: ignore[arg-type]
        lambda: found.spectrum(progress=progress),  # type: ignore[arg-type]
        lambda: found.fixed_points(progress=progress),  # type: ignore[arg-type]
        lambda: hs.explain.selfcheck("gradient", progress=progress),  # type: ignore[arg-type]
        lambda: hs.explain.graph(lstm, x, of="l0.c[1]@4", progress=progress),  # type: ignore[arg-type]
        lambda: hs.compare(lstm, lstm, x, progress=progress),  # type: ignore[arg-type]
    )
    for call in calls:
        with pytest.raises(ArgumentTypeError, match="progress must be a function of two numbers, got"):
            call()
