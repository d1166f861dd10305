"""The studio: the opened models, shown by a server, in a file or in a notebook."""

import html as escaping
import importlib.util
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.base.later import index_openers
from hiddenstate.base.validation import optional_package
from hiddenstate.errors import HiddenStateError
from hiddenstate.nn.streams.stream import Stream
from hiddenstate.studio import assets
from hiddenstate.studio.bundles.bundle import Bundle, assign_ids, bundle_trace
from hiddenstate.studio.live import LiveStream
from hiddenstate.studio.messages import Audience, Subscriber, ViewMessage, check_view, encode, read
from hiddenstate.studio.page import CorpusPages, offline_page, write_page
from hiddenstate.tracing.trace import Trace

if TYPE_CHECKING:
    from hiddenstate.studio.server.serving import Running
    from hiddenstate.studio.server.site import Site


HEIGHT = 860  # pixels
MOST_TRACE_BYTES = 16 * 2**20  # maximum size of a displayed trace, because the notebook stores all of it
_PAUSE = 1 / 30
_NO_FRAME = "The studio is not shown here: run this cell, or trust this notebook."


class Studio:
    """Models opened in the studio. Created by `hiddenstate.studio`; displays itself at the end of a notebook cell.

    Attributes:
        bundles: the models by id, as the page receives them.
        view: the current view, with the names used in the page's address; follows the page while it is open.
        stream: the watched stream, to use in place of the given one; None if no stream was given.
        corpus: the index behind the pages Units and Search; None if no index was given.
    """

    def __init__(self, bundles: Sequence[Bundle], view: Mapping[str, Any], stream: LiveStream | None = None) -> None:
        """Use `hiddenstate.studio`."""
        self.bundles = assign_ids(bundles)
        self.view = dict(ViewMessage(view).view)
        self.stream = stream
        self.audience = Audience() if stream is None else stream.audience
        self.corpus: CorpusPages | None = None
        self._widget: Any = None

    @property
    def live(self) -> str:
        """The role of Python while the page is open: ``stream`` if one runs, otherwise ``view``."""
        return "view" if self.stream is None else "stream"

    @property
    def about_index(self) -> dict[str, Any] | None:
        """The information about the index that the page shows; None without an index."""
        return None if self.corpus is None else self.corpus.about()

    def show(self, **view: Any) -> None:
        """Change the view in every open page: ``studio.show(unit=17, step=3, quantity="f")``.

        Raises:
            MessageError: the page's state has no such part, or its type is wrong.
        """
        message = ViewMessage(view)
        self.view.update(message.view)
        self.audience.tell(message)

    def hear(self, message: ViewMessage) -> None:
        """Handle a message from a page."""
        self.view.update(message.view)

    def html(self) -> str:
        """Return the page as one file that runs the models and needs nothing else."""
        return offline_page(self.bundles, self.view, index=self.about_index)

    def save(self, path: str | Path) -> None:
        """Write the page as one file that runs the models and needs nothing else (to a temporary name, then renamed).

        Raises:
            FileNotFoundError: there is no such folder.
        """
        write_page(path, self.html())

    def site(self) -> "Site":
        """Return the content for a server."""
        optional_package("starlette", "studio", "the studio's server")
        from hiddenstate.studio.server.site import Pages, Site

        return Site(self.bundles, self.view, self.live, Pages(self.audience, self.hear), corpus=self.corpus)

    def start(self, host: str = "127.0.0.1", port: int = 0) -> "Running":
        """Serve the page in a background thread.

        Args:
            host: the address to listen on; any except this machine's own lets in other machines that know the token.
            port: port to listen on; 0 for any free one.

        Returns:
            The running server: ``url`` is its address, `stop` ends it.

        Raises:
            MissingDependencyError: starlette or uvicorn is not installed.
            ArgumentError: it can't listen on this address.
        """
        site = self.site()  # first, since it reports packages that are not installed
        from hiddenstate.studio.server.serving import Running

        return Running(site, host, port)

    def serve(self, host: str = "127.0.0.1", port: int = 0, *, browser: bool = True) -> None:
        """Serve the page until Ctrl-C, print its address, and open a browser; same arguments and errors as `start`."""
        site = self.site()  # first, since it reports packages that are not installed
        from hiddenstate.studio.server.serving import serve

        serve(site, host, port, browser=browser)

    def widget(self) -> Any:
        """Return the page as an anywidget widget, the same one each time.

        Raises:
            MissingDependencyError: anywidget is not installed.
        """
        if self._widget is None:
            self._widget = make_widget(self)
        return self._widget

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        plain = {"text/plain": repr(self)}
        if not _in_kernel():
            return plain, {}
        if importlib.util.find_spec("anywidget") is None:
            return {**plain, "text/html": framed(self.html())}, {}
        shown = self.widget()._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**data, **plain}, metadata

    def __repr__(self) -> str:
        shown = ", ".join(f"{bundle.name} ({bundle.kind})" for bundle in self.bundles.values())
        return f"Studio({shown}): serve() opens it in a browser, save(path) writes it as a file"


def studio(
    *models: Any,
    x: Any = None,
    hx: Any = None,
    tokens: Sequence[str] | None = None,
    row: int = 0,
    path: str | None = None,
    text: str = "",
    index: Any = None,
    view: Mapping[str, Any] | None = None,
) -> Studio:
    """Open models in the studio, to watch them read step by step and unit by unit, and to edit their values.

    In a notebook the result displays itself; elsewhere ``.serve()`` opens it in a browser and ``.save(path)`` writes it
    as one file.

    Args:
        models: a model's folder, a tagger, a language model, a series model, an LSTM, GRU or RNN from hiddenstate or
            torch, a cell, a module with one in it, a `hiddenstate.Trace`, the result of `hiddenstate.trace`, or a
            stream; or mappings from names to any of these. Default: the shipped tagger.
        x: a layer's input: ``[T, C]``, or any form that it accepts. For a layer inside a module, the module's input:
            the page then shows the layer with the input that it receives in that call. For a series model, the frame
            that it reads, or what its ``prepare`` returned.
        hx: the layer's initial state.
        tokens: a word for each step of x.
        row: the batch row to show.
        path: module path of the layer in a module, or of the trace in a model's traces.
        text: the first text for a tagger or language model to read.
        index: an index of a corpus, or its folder, for the pages Units and Search, which need ``serve`` or ``start``.
            With an index, the default model is the indexed one, which must be among the models.
        view: the initial view, such as ``{"unit": 17, "step": 3}``.

    Returns:
        The `Studio`.

    Raises:
        ArgumentTypeError: the studio cannot show this type.
        ArgumentError, NameUnknownError, IndexRangeError, ShapeError: an option does not fit a model, or the index is of
            a different one.
        FileFormatError: a folder does not contain a model or an index.
        MissingDependencyError: an index is given, and pyarrow is not installed.
        MessageError: ``view`` has a part that the page does not have.

    >>> import hiddenstate as hs, torch
    >>> hs.studio(hs.LSTM(4, 3), x=torch.zeros(5, 4))
    Studio(LSTM(4, 3) (layer)): serve() opens it in a browser, save(path) writes it as a file
    """
    from hiddenstate.studio.bundles.opening import named, opened  # imported on demand, because it loads all models

    answers = None
    if index is not None:
        (open_answers,) = index_openers
        answers = open_answers(index)
        models = models or ({answers.about()["name"]: answers.model()},)
    chosen = named(models)
    options = {"x": x, "hx": hx, "tokens": tokens, "row": row, "path": path}
    bundles = [opened(model, name, **options) for name, model in chosen]
    streams = [
        model if isinstance(model, LiveStream) else LiveStream(model, row) for _, model in chosen[:1] if _runs(model)
    ]
    shown = Studio(bundles, {**({"text": text} if text else {}), **check_view(view or {})}, *streams)
    if answers is not None:
        position = answers.find_model([model for _, model in chosen])
        shown.corpus = CorpusPages(answers, list(shown.bundles)[position])
    return shown


def _runs(model: Any) -> bool:
    return isinstance(model, Stream | LiveStream)


def trace_html(trace: Trace) -> str | None:
    """Return a frame that shows a trace, or None if it is too large to store in a notebook or can't be shown."""
    if trace.nbytes > MOST_TRACE_BYTES:
        return None
    try:
        return framed(offline_page({"trace": bundle_trace(trace)}, {}))
    except HiddenStateError:
        return None


def make_widget(studio: "Studio") -> Any:
    """Make a widget of a studio's page."""
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
    """Sends messages to a widget from a thread, because a stream occupies the notebook's, once the page is open."""

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
    """Put a page into a frame that its scripts can't leave, and text where frames are blocked."""
    return (
        f'<iframe title="hiddenstate studio" sandbox="allow-scripts allow-downloads" width="100%" height="{HEIGHT}" '
        f'style="border: 0" srcdoc="{escaping.escape(page)}">{_NO_FRAME}</iframe>'
    )


def _in_kernel() -> bool:
    """Whether output is displayed in a notebook rather than a terminal."""
    python = sys.modules.get("IPython")
    return python is not None and getattr(python.get_ipython(), "kernel", None) is not None
