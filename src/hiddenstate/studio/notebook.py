"""The page in a notebook: as a widget connected to Python, or as a frame with only the page."""

import html as escaping
import importlib.util
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from hiddenstate.base.validation import optional_package
from hiddenstate.errors import HiddenStateError
from hiddenstate.studio import assets
from hiddenstate.studio.audience import Audience, Subscriber
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.bundles.traces import bundle_trace
from hiddenstate.studio.messages import ViewMessage, encode, read
from hiddenstate.studio.page import offline_page
from hiddenstate.tracing.trace import Trace

HEIGHT = 860  # pixels
MOST_TRACE_BYTES = 16 * 2**20  # maximum size of a displayed trace, because the notebook stores all of it
_PAUSE = 1 / 30
_NO_FRAME = "The studio is not shown here: run this cell, or trust this notebook."


class Displayable(Protocol):
    """The part of `hiddenstate.Studio` that a notebook uses."""

    bundles: dict[str, Bundle]
    view: dict[str, Any]
    audience: Audience

    @property
    def live(self) -> str:
        """The role of Python while the page is open."""

    @property
    def about_index(self) -> dict[str, Any] | None:
        """The information about an index that the page shows."""

    def hear(self, message: ViewMessage) -> None:
        """Handle a message from a page."""

    def html(self) -> str:
        """Return the page as one file."""

    def widget(self) -> Any:
        """Return the page as a widget."""


def mimebundle(studio: Displayable) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a studio's display data: a widget if anywidget is installed, otherwise a frame."""
    plain = {"text/plain": repr(studio)}
    if not _in_kernel():
        return plain, {}
    if importlib.util.find_spec("anywidget") is None:
        return {**plain, "text/html": framed(studio.html())}, {}
    shown = studio.widget()._repr_mimebundle_()
    data, metadata = shown if isinstance(shown, tuple) else (shown, {})
    return {**data, **plain}, metadata


def trace_html(trace: Trace) -> str | None:
    """Return a frame that shows a trace, or None if it is too large to store in a notebook or can't be shown."""
    if trace.nbytes > MOST_TRACE_BYTES:
        return None
    try:
        return framed(offline_page({"trace": bundle_trace(trace)}, {}))
    except HiddenStateError:
        return None


def make_widget(studio: Displayable) -> Any:
    """Make a widget of a studio's page.

    Raises:
        MissingDependencyError: anywidget is not installed.
    """
    widget = _widget_class()(height=HEIGHT)
    teller = _Teller(studio.audience, widget)

    def heard(_: Any, content: Any, __: Any) -> None:
        if content == {"type": "page"}:
            page = offline_page(
                studio.bundles, studio.view, host="notebook", live=studio.live, index=studio.about_index
            )
            widget.send({"type": "page"}, [page.encode()])
        elif content == {"type": "hello"}:
            studio.view.setdefault("theme", "auto")  # traits of the notebook, which the page never sends
            teller.begin(studio.view)
        else:
            studio.hear(read(content))

    widget.on_msg(heard)
    return widget


@cache
def _widget_class() -> Any:
    anywidget = optional_package("anywidget", "notebook", "the studio in a notebook")
    traitlets = optional_package("traitlets", "notebook", "the studio in a notebook")
    members = {"_esm": assets.text(assets.WIDGET), "height": traitlets.Int(HEIGHT).tag(sync=True)}
    return type("StudioWidget", (anywidget.AnyWidget,), members)


class _Teller:
    """Sends messages to a widget from its own thread, because a running stream occupies the notebook's thread.

    Messages are kept until the page opens, because a notebook that runs all cells opens it only afterwards.
    """

    def __init__(self, audience: Audience, widget: Any) -> None:
        self._audience = audience
        self._widget = widget
        self._opened, self._ready = threading.Event(), threading.Event()
        self._looker = Subscriber(self._ready.set)
        audience.join(self._looker)
        threading.Thread(target=self._tell, name="hiddenstate widget", daemon=True).start()

    def begin(self, view: Mapping[str, Any]) -> None:
        """Start sending; a newly opened page first gets the view and the state from which a stream continues."""
        if self._opened.is_set():
            self._looker.begun = False
        self._looker.put(ViewMessage(view))
        self._opened.set()

    def _tell(self) -> None:
        while self._widget.comm is not None:
            if self._opened.wait(1) and self._ready.wait(1):
                self._ready.clear()
                for message in self._looker.take():
                    header, numbers = encode(message)
                    self._widget.send(header, [numbers])
                time.sleep(_PAUSE)
        self._audience.leave(self._looker)


def framed(page: str) -> str:
    """Put a page into a frame, in which its scripts run but can't reach the page around it.

    The text inside is shown if frames are blocked, as in a notebook that is not trusted yet.
    """
    return (
        f'<iframe title="hiddenstate studio" sandbox="allow-scripts allow-downloads" width="100%" height="{HEIGHT}" '
        f'style="border: 0" srcdoc="{escaping.escape(page)}">{_NO_FRAME}</iframe>'
    )


def _in_kernel() -> bool:
    """Whether output is displayed in a notebook rather than a terminal."""
    python = sys.modules.get("IPython")
    return python is not None and getattr(python.get_ipython(), "kernel", None) is not None
