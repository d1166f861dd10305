import importlib
import sys
from collections import Counter
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox

from hiddenstate.base.figures import LONGEST, Picture, save_picture
from hiddenstate.errors import ArgumentError, ArgumentTypeError, MissingDependencyError
from hiddenstate.structure.diagram import TIMES, WORD_SIZE
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import structure_of
from pictures import extents, overlaps, texts

SENTENCE = ["Giraffes", "in", "a", "field", "ate", "the", "tall", "trees"]
SIZES = [
    Sizes(4, 3),
    Sizes(300, 512, 3),
    Sizes(4, 3, bidirectional=True),
    Sizes(100, 1024, 3, bidirectional=True, proj_size=256),
]


def said(figure: Figure) -> Counter[str]:
    return Counter(text.get_text() for text in texts(figure))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_texts_do_not_overlap(sizes: Sizes, steps: int) -> None:
    figure = structure_of(sizes).plot(SENTENCE[:steps])
    assert overlaps(figure) == []


def test_texts_do_not_overlap_fails() -> None:
    figure = structure_of(Sizes(4, 3)).plot(["in", "a"])
    word, label, *_ = texts(figure)
    word.set_position((1.0, 1.0))
    label.set_position((1.1, 1.0))
    assert overlaps(figure)
    word.set_position((-1.0, 1.0))
    assert overlaps(figure) == [(word.get_text(), "the edge of the page")]


def test_long_words_get_room() -> None:
    words = ["W" * LONGEST, "incomprehensibilities", "W" * LONGEST]
    figure = structure_of(Sizes(4, 3)).plot(words)
    assert overlaps(figure) == []
    assert said(figure)["incomprehensibi…"] == 1


def lines_through_texts(figure: Figure) -> list[str]:
    """Texts that a line runs through."""
    ax, hit = figure.axes[0], []
    paths = [ax.transData.transform(line.get_xydata()) for line in ax.lines]
    for name, box in extents(figure):
        if any(Bbox([a, b]).padded(0.1).overlaps(box) for a, b in paths):
            hit.append(name)
    return hit


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_lines_keep_off_texts(sizes: Sizes) -> None:
    assert lines_through_texts(structure_of(sizes).plot(SENTENCE[:3])) == []


def test_lines_keep_off_texts_fails() -> None:
    figure = structure_of(Sizes(4, 3, bidirectional=True)).plot(["in", "a"])
    figure.axes[0].plot([0, 10], [1.3, 1.3])  # through the words
    assert lines_through_texts(figure) == ["in", "a"]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_one_box_a_step_layer_and_direction(sizes: Sizes) -> None:
    figure = structure_of(sizes).plot(SENTENCE[:5])
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == 5 * len(sizes.layer_directions) == said(figure)["LSTM"]


def test_labels_of_one_layer() -> None:
    found = said(structure_of(Sizes(4, 3)).plot())
    assert Counter({"Giraffes": 1, "in": 1, "a": 1, "field": 1}) <= found
    assert Counter({f"c 1{TIMES}3": 5, f"h 1{TIMES}3": 5, f"1{TIMES}3": 4}) <= found
    assert Counter(f"input[{t}] 1{TIMES}4" for t in range(4)) <= found
    assert Counter(["h0[0]", "c0[0]", "h_n[0]", "c_n[0]", *(f"out[{t}]" for t in range(4))]) <= found
    assert "out[t] is l0.h, so out[-1] is h_n[0]." in found


def test_labels_of_one_layer_fails() -> None:
    """Labels for other networks are absent."""
    found = said(structure_of(Sizes(4, 3)).plot())
    assert not {"l0r", "l1", "h0[1]", f"1{TIMES}6"} & found.keys()


def test_labels_of_two_projected_layers_and_directions() -> None:
    found = said(structure_of(Sizes(4, 3, 2, bidirectional=True, proj_size=2)).plot(["in", "a"]))
    assert Counter({"l0": 2, "l0r": 2, "l1": 2, "l1r": 2}) <= found
    # Out of each box 1x2, and concatenated 1x4: into layer 1 and out of it.
    assert Counter({f"c 1{TIMES}3": 12, f"h 1{TIMES}2": 12, f"1{TIMES}2": 8, f"1{TIMES}4": 4}) <= found
    assert Counter(f"{name}[{k}]" for name in ("h0", "c0", "h_n", "c_n") for k in range(4)) <= found
    assert "out[t] is l1.h beside l1r.h: out[-1] begins with h_n[2], out[0] ends with h_n[3]." in found


def middles(figure: Figure) -> dict[str, float]:
    return {name: (box.x0 + box.x1) / 2 for name, box in extents(figure)}


def test_reverse_states_run_leftwards() -> None:
    x = middles(structure_of(Sizes(4, 3, bidirectional=True)).plot())
    assert x["h0[0]"] < x["Giraffes"] < x["field"] < x["h_n[0]"]
    assert x["h_n[1]"] < x["Giraffes"] < x["field"] < x["h0[1]"]


def test_words_are_no_mathematics() -> None:
    found = said(structure_of(Sizes(4, 3)).plot(["$x^2$", "\\frac", "a_b", ""]))
    assert {"$x^2$", "\\frac", "a_b"} <= found.keys()


@pytest.mark.parametrize(("words", "error"), [([], ArgumentError), ("a field", ArgumentTypeError)])
def test_words_fails(words: list[str] | str, error: type[Exception]) -> None:
    with pytest.raises(error, match="words"):
        structure_of(Sizes(4, 3)).plot(words)


def test_given_axes_are_filled() -> None:
    figure = Figure(figsize=(5, 3))
    left = figure.add_subfigure(figure.add_gridspec(1, 2)[0])
    ax = left.add_axes((0, 0, 1, 1))
    assert structure_of(Sizes(4, 3)).plot(["in", "a"], ax=ax) is figure
    assert overlaps(figure) == []
    assert max(float(text.get_fontsize()) for text in texts(figure)) < WORD_SIZE  # shrunk with the picture


def test_given_axes_are_filled_fails() -> None:
    """Without axes, a new figure of the picture's size is made."""
    small, large = structure_of(Sizes(4, 3)).plot(["in", "a"]), structure_of(Sizes(4, 3)).plot(SENTENCE)
    assert small is not large
    assert small.get_figwidth() < large.get_figwidth()


def test_pyplot_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    structure_of(Sizes(4, 3)).plot()


def test_pyplot_is_not_touched_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError):
        importlib.import_module("matplotlib.pyplot")


def test_without_matplotlib_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hiddenstate.structure.diagram", raising=False)
    monkeypatch.delitem(sys.modules, "hiddenstate.base.figures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hiddenstate\[plot\]'"):
        structure_of(Sizes(4, 3)).plot()


def test_a_notebook_shows_the_picture() -> None:
    picture = structure_of(Sizes(4, 3)).plot()
    assert isinstance(picture, Picture)
    assert picture._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["net.png", "net.svg", "net.PDF"])
def test_save_picture(tmp_path: Path, name: str) -> None:
    save_picture(structure_of(Sizes(4, 3)).plot(["in", "a"]), tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1000


def test_a_picture_is_written_to_a_path(tmp_path: Path) -> None:
    structure_of(Sizes(4, 3)).plot(["in", "a"], path=str(tmp_path / "net.png"))
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentTypeError, match="path="):
        structure_of(Sizes(4, 3)).plot("net.png")


@pytest.mark.parametrize(("name", "match"), [("net", "must end with"), ("net.doc", "png"), ("no/net.png", "no folder")])
def test_save_picture_fails(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        save_picture(structure_of(Sizes(4, 3)).plot(["in", "a"]), tmp_path / name)
    assert not (tmp_path / name).exists()
