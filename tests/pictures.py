"""Helpers for tests of pictures: the texts of a figure, and which of them overlap."""

from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def texts(figure: Figure) -> list[Text]:
    """Every visible text in a figure: titles, labels, tick labels, legends, annotations."""
    figure.draw_without_rendering()
    found: list[Text] = list(figure.texts)
    for ax in figure.axes:
        legend = ax.get_legend()
        found += [*ax.texts, ax.title, *(legend.get_texts() if legend else [])]
        if ax.axison:
            found += [ax.xaxis.label, ax.yaxis.label, *_tick_labels(ax.xaxis), *_tick_labels(ax.yaxis)]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _tick_labels(axis: Axis) -> list[Text]:
    """Labels of the ticks in view (a locator also makes some outside, which are never drawn)."""
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label for place, label in ticks if low <= place <= high]


def extents(figure: Figure) -> list[tuple[str, Bbox]]:
    """Each text with its bounding box in pixels."""
    return [(text.get_text(), text.get_window_extent()) for text in texts(figure)]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of overlapping texts, and texts that extend beyond the edge of the page."""
    boxes, page = extents(figure), figure.bbox.padded(0.5)
    pairs = [(a, b) for (a, box_a), (b, box_b) in combinations(boxes, 2) if box_a.overlaps(box_b)]
    return pairs + [(name, "the edge of the page") for name, box in boxes if not _within(box, page)]


def _within(box: Bbox, page: Bbox) -> bool:
    return bool(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1)
