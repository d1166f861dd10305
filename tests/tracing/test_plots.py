import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import hiddenstate as hs
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    IndexRangeError,
    MissingDependencyError,
    NameUnknownError,
)
from hiddenstate.tracing.trace import Trace
from pictures import overlaps, texts
from support import diagonal

SENTENCE = ("Giraffes", "in", "a", "field", "ate", "incomprehensibilities", "$x^2$", ".")


def traced(T: int = 8, rows: int = 1, *, tokens: bool = True, units: int = 3, **options: object) -> Trace:
    """A trace of an untrained LSTM; options of `LSTM.trace` are passed to it, the others to the LSTM."""
    ours = {name: options.pop(name) for name in ("keep", "steps", "lengths") if name in options}
    lstm = hs.LSTM(4, units, **options)  # type: ignore[arg-type]
    words = [[SENTENCE[t % len(SENTENCE)] for t in range(T)] for _ in range(rows)]
    return lstm.trace(3 * torch.randn(T, rows, 4), tokens=words if tokens else None, **ours)  # type: ignore[arg-type]


def maps(figure: Figure) -> dict[str, Axes]:
    """Axes of the heat maps, by the letter of their quantity."""
    return {ax.get_title()[0]: ax for ax in figure.axes if ax.get_images()}


def cells(ax: Axes) -> NDArray[np.float64]:
    """The values in a heat map, read from the middles of its cells."""
    (image,) = ax.get_images()
    left, right, bottom, top = image.get_extent()
    array = np.asarray(image.get_array())
    rows, columns = (round(top - bottom), round(right - left))
    height, width = array.shape[0] // rows, array.shape[1] // columns
    return array[height // 2 :: height, width // 2 :: width]


def bottom_labels(figure: Figure) -> list[str]:
    (last,) = [ax for ax in figure.axes if ax.get_xlabel()][-1:]
    return [text.get_text() for text in last.get_xticklabels()]


def test_maps_show_the_values() -> None:
    trace = traced()
    found = maps(trace.plot())
    assert list(found) == ["i", "f", "g", "o", "c", "h"]
    for quantity, ax in found.items():
        np.testing.assert_allclose(cells(ax), trace[f"l0.{quantity}"][:, 0].detach().numpy().T)


def test_maps_show_the_values_fails() -> None:
    trace = traced(num_layers=2, bidirectional=True)
    shown = cells(maps(trace.plot(layer=1, reverse=True))["f"])
    np.testing.assert_allclose(shown, trace["l1r.f"][:, 0].detach().numpy().T)
    assert not np.allclose(shown, trace["l1.f"][:, 0].detach().numpy().T)


def test_maps_of_what_was_kept() -> None:
    assert list(maps(traced(keep=["l0.c", "l0.f"]).plot())) == ["f", "c"]


def test_colours_mean_the_same_everywhere() -> None:
    found = maps(traced().plot())
    spans = {quantity: ax.get_images()[0].get_clim() for quantity, ax in found.items() if quantity != "c"}
    assert spans == {"i": (0, 1), "f": (0, 1), "g": (-1, 1), "o": (0, 1), "h": (-1, 1)}
    assert found["f"].get_title() == "f: forget gate (1 keeps the cell)"


def test_colours_mean_the_same_everywhere_fails() -> None:
    """The cell state is unbounded: it is scaled by its largest value, which the title gives."""
    trace = traced()
    largest = float(trace["l0.c"].detach().abs().max())
    ax = maps(trace.plot())["c"]
    assert ax.get_images()[0].get_clim() == pytest.approx((-largest, largest))
    assert ax.get_title() == f"c: cell state (long-term memory; scale ±{largest:.3g})"


def test_projected_states_have_no_bounds() -> None:
    trace = traced(proj_size=2)
    ax = maps(trace.plot())["h"]
    assert cells(ax).shape == (2, 8)
    assert ax.get_images()[0].get_clim()[1] == pytest.approx(float(trace["l0.h"].detach().abs().max()))


def test_values_beyond_the_colours_are_marked() -> None:
    lstm = hs.LSTM(4, 3)
    with lstm.edit(hs.set("l0.f", to=1.5, t=2)):
        edited = lstm.trace(torch.randn(8, 1, 4))
    bars = {k: ax.get_images()[0].colorbar for k, ax in maps(edited.plot()).items()}
    assert [k for k, bar in bars.items() if bar is not None and bar.extend == "both"] == ["f"]


def test_zeros_can_be_drawn() -> None:
    lstm = hs.LSTM(4, 3)
    with lstm.edit(hs.zero("l0.c")):
        ax = maps(lstm.trace(torch.randn(8, 1, 4)).plot())["c"]
    assert ax.get_images()[0].get_clim() == (-1, 1)


def test_words_are_the_labels() -> None:
    shown = bottom_labels(traced().plot())
    assert shown == ["Giraffes", "in", "a", "field", "ate", "incomprehensibi…", "$x^2$", "."]
    assert bottom_labels(traced(tokens=False).plot()) == [str(t) for t in range(8)]


def test_chosen_steps_are_labelled_as_such() -> None:
    figure = traced(tokens=False, steps=[1, 2, 6]).plot()
    assert bottom_labels(figure) == ["1", "2", "6"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"", "recorded steps"}


@pytest.mark.parametrize(("steps", "shown"), [(60, 60), (61, 31), (200, 50)])
@pytest.mark.parametrize("unit", [None, 1])
def test_labels_are_thinned_out(steps: int, shown: int, unit: int | None) -> None:
    figure = traced(steps, keep=["l0.f"]).plot(unit=unit)
    assert len(bottom_labels(figure)) == shown
    assert overlaps(figure) == []


def test_only_real_steps_of_a_row() -> None:
    trace = traced(rows=2, lengths=[8, 3])
    assert bottom_labels(trace.plot(row=1)) == ["Giraffes", "in", "a"]
    shown = cells(maps(trace.plot(row=1))["f"])
    np.testing.assert_allclose(shown, trace["l0.f"][:3, 1].detach().numpy().T)


def test_only_real_steps_of_a_row_fails() -> None:
    with pytest.raises(ArgumentError, match="row 1 has no recorded step"):
        traced(rows=2, lengths=[8, 0]).plot(row=1)


def test_a_row_that_ends_before_the_recorded_steps_fails() -> None:
    with pytest.raises(ArgumentError, match="it has 3 steps"):
        traced(rows=2, lengths=[8, 3], steps=[5, 6]).plot(row=1)


def curves(figure: Figure) -> dict[str, NDArray[np.float64]]:
    """Curves by the letter of their quantity."""
    lines = [line for ax in figure.axes for line in ax.lines]
    return {str(line.get_label())[0]: np.asarray(line.get_ydata()) for line in lines if ":" in str(line.get_label())}


def test_curves_of_a_unit() -> None:
    trace = traced(num_layers=2)
    figure = trace.plot(layer=1, unit=-1)
    found = curves(figure)
    assert list(found) == ["i", "f", "g", "o", "c", "h"]
    for quantity, values in found.items():
        np.testing.assert_allclose(values, trace[f"l1.{quantity}"][:, 0, 2].detach().numpy())
    assert [len(ax.lines) for ax in figure.axes] == [5, 3]  # gates and states, each with its zero line
    assert figure.get_suptitle() == "l1, unit 2, row 0"


def test_curves_of_a_unit_fails() -> None:
    """The numbers of a projected hidden state do not belong to units."""
    assert list(curves(traced(proj_size=2).plot(unit=2))) == ["i", "f", "g", "o", "c"]


def test_curves_of_gates_alone() -> None:
    assert [len(ax.lines) for ax in traced(keep=["l0.f"]).plot(unit=0).axes] == [2]


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ({"layer": 1}, NameUnknownError),
        ({"reverse": True}, NameUnknownError),
        ({"row": 1}, IndexRangeError),
        ({"unit": 3}, IndexRangeError),
    ],
)
def test_places_fails(where: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        traced().plot(**where)  # type: ignore[arg-type]


def test_nothing_recorded_fails() -> None:
    with pytest.raises(NameUnknownError, match=r"nothing of l0 to draw.* only l1\.f was recorded"):
        traced(num_layers=2, keep=["l1.f"]).plot()
    with pytest.raises(NameUnknownError, match="nothing of l0 to draw"):
        traced(proj_size=2, keep=["l0.h"]).plot(unit=0)


@pytest.mark.parametrize(("unit", "steps"), diagonal([None, 0], [20, 60, 1, 2, 21]))
def test_texts_do_not_overlap(steps: int, unit: int | None) -> None:
    figure = traced(steps, tokens=steps in (1, 20, 21), units=40).plot(unit=unit)
    assert overlaps(figure) == []


def test_texts_do_not_overlap_with_the_longest_scale() -> None:
    lstm = hs.LSTM(4, 3)
    with lstm.edit(hs.scale("l0.i", by=1.2345e-5)):
        figure = lstm.trace(torch.randn(8, 1, 4), tokens=[SENTENCE]).plot()
    assert "e-0" in maps(figure)["c"].get_title()
    assert overlaps(figure) == []


def test_texts_do_not_overlap_fails() -> None:
    figure = traced().plot()
    ax = maps(figure)["i"]
    ax.set_title(ax.get_title() * 3)
    assert overlaps(figure)


def test_words_stand_upright_where_they_fit() -> None:
    def rotations(figure: Figure) -> set[float]:
        return {text.get_rotation() for text in texts(figure) if text.get_text() in SENTENCE}

    assert rotations(traced(3).plot()) == {0}
    assert rotations(traced(20).plot()) == {90}


def test_half_precision_and_gradients_can_be_drawn() -> None:
    lstm = hs.LSTM(4, 3, dtype=torch.bfloat16)
    assert maps(lstm.trace(torch.randn(8, 1, 4, dtype=torch.bfloat16, requires_grad=True)).plot())


def test_batch_first_and_unbatched() -> None:
    lstm, x = hs.LSTM(4, 3, batch_first=True), torch.randn(2, 8, 4)
    batched, single = lstm.trace(x), lstm.trace(x[1])
    a, b = (cells(maps(figure)["h"]) for figure in (batched.plot(row=1), single.plot()))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_without_matplotlib_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = traced()
    for name in ("hiddenstate.tracing.plots", "hiddenstate.base.figures"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[plot\]'"):
        trace.plot()


def test_a_picture_is_written_to_a_path(tmp_path: Path) -> None:
    path = tmp_path / "trace.png"
    assert isinstance(traced().plot(str(path)), Figure)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match=r"must end with one of"):
        traced().plot(tmp_path / "trace.doc")
    with pytest.raises(ArgumentTypeError, match="got int"):
        traced().plot(1)  # type: ignore[arg-type]
    assert [file.name for file in tmp_path.iterdir()] == ["trace.png"]
