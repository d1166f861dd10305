"""The studio: what is opened, and the ways to it: a server, a file, a notebook."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiddenstate.base.validation import State, optional_package
from hiddenstate.nn.stream import Stream
from hiddenstate.studio.audience import Audience
from hiddenstate.studio.bundle import Bundle, assign_ids
from hiddenstate.studio.live import LiveStream
from hiddenstate.studio.messages import ViewMessage, check_view
from hiddenstate.tracing.trace import Trace

if TYPE_CHECKING:
    from hiddenstate.studio.server import Site
    from hiddenstate.studio.serving import Running


class Studio:
    """Models opened in the studio. Made by `hiddenstate.studio`; shows itself at the end of a notebook's cell.

    Attributes:
        bundles: the models by id, as the page has them.
        view: what is looked at, by the names in the page's address; follows the page while it is open.
        stream: the stream that is watched: use it in place of the one that was given. None without.
    """

    def __init__(self, bundles: Sequence[Bundle], view: Mapping[str, Any], stream: LiveStream | None = None) -> None:
        """Use `hiddenstate.studio`."""
        self.bundles = assign_ids(bundles)
        self.view = dict(ViewMessage(view).view)
        self.stream = stream
        self.audience = Audience() if stream is None else stream.audience
        self._widget: Any = None

    @property
    def live(self) -> str:
        """What Python does while the page is open: ``stream`` where one runs, else ``view``."""
        return "view" if self.stream is None else "stream"

    def show(self, **view: Any) -> None:
        """Change what is looked at, in every page that is open: ``studio.show(unit=17, step=3, quantity="f")``.

        Raises:
            MessageError: the page's state has no such part, or it is of a wrong type.
        """
        message = ViewMessage(view)
        self.view.update(message.view)
        self.audience.tell(message)

    def hear(self, message: ViewMessage) -> None:
        """Take what a page says."""
        self.view.update(message.view)

    def html(self) -> str:
        """Return the page as one file that runs the models and needs nothing else."""
        from hiddenstate.studio.page import offline_page

        return offline_page(self.bundles, self.view)

    def save(self, path: str | Path) -> None:
        """Write the page as one file that runs the models and needs nothing else (beside, then renamed).

        Raises:
            FileNotFoundError: there is no such folder.
        """
        from hiddenstate.studio.page import write_page

        write_page(path, self.html())

    def site(self) -> "Site":
        """Return what a server shows."""
        optional_package("starlette", "studio", "the studio's server")
        from hiddenstate.studio.server import Site
        from hiddenstate.studio.sockets import Pages

        return Site(self.bundles, self.view, self.live, Pages(self.audience, self.hear))

    def start(self, host: str = "127.0.0.1", port: int = 0) -> "Running":
        """Serve the page in a thread of its own.

        Args:
            host: address to listen on; others than this machine's own let other machines in, if they know the token.
            port: port to listen on; 0 takes one that is free.

        Returns:
            The running server: ``url`` is its address, `stop` ends it.

        Raises:
            MissingDependencyError: starlette or uvicorn is not installed.
            ArgumentError: the address can't be listened on.
        """
        site = self.site()  # first, since it says what is not installed
        from hiddenstate.studio.serving import Running

        return Running(site, host, port)

    def serve(self, host: str = "127.0.0.1", port: int = 0, *, browser: bool = True) -> None:
        """Serve the page until Ctrl-C, say where, and open a browser; arguments and errors are those of `start`."""
        site = self.site()  # first, since it says what is not installed
        from hiddenstate.studio.serving import serve

        serve(site, host, port, browser=browser)

    def widget(self) -> Any:
        """Return the page as a widget of anywidget's, the same one each time.

        Raises:
            MissingDependencyError: anywidget is not installed.
        """
        from hiddenstate.studio.notebook import make_widget

        if self._widget is None:
            self._widget = make_widget(self)
        return self._widget

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hiddenstate.studio.notebook import mimebundle

        return mimebundle(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{bundle.name} ({bundle.kind})" for bundle in self.bundles.values())
        return f"Studio({shown}): serve() opens it in a browser, save(path) writes it as a file"


def studio(
    *models: Any,
    x: Any = None,
    hx: State | None = None,
    tokens: Sequence[str] | None = None,
    row: int = 0,
    path: str | None = None,
    text: str = "",
    view: Mapping[str, Any] | None = None,
) -> Studio:
    """Open models in the studio: watch them read, step by step and unit by unit, and change what they do.

    In a notebook the result shows itself; elsewhere ``.serve()`` opens it in a browser and ``.save(path)`` writes it as
    one file.

    Args:
        models: a model's folder, a tagger, a language model, an `hiddenstate.LSTM` or torch's, a cell, a module with
            LSTMs in it, an `hiddenstate.Trace`, what `hiddenstate.trace` gave, or a stream; or mappings of names to
            such. The shipped tagger without.
        x: what an LSTM reads: ``[T, C]``, or as it is called. What a module is called with, where the LSTM is inside
            one: then the LSTM reads there what it read in that call.
        hx: the state that an LSTM begins with.
        tokens: a word for each step of x.
        row: which row of a batch is shown.
        path: which LSTM of a module, or trace of a model's, by module path.
        text: what a tagger or language model reads at the beginning.
        view: what is looked at in the beginning, such as ``{"unit": 17, "step": 3}``.

    Returns:
        The `Studio`.

    Raises:
        ArgumentTypeError: the studio shows no such thing.
        ArgumentError, NameUnknownError, IndexRangeError, ShapeError: an option does not fit a model.
        FileFormatError: a folder holds no model.
        MessageError: ``view`` has a part that the page does not have.

    >>> import hiddenstate as hs, torch
    >>> hs.studio(hs.LSTM(4, 3), x=torch.zeros(5, 4))
    Studio(LSTM(4, 3) (lstm)): serve() opens it in a browser, save(path) writes it as a file
    """
    from hiddenstate.studio.opening import named, opened  # all models, which not everyone needs

    chosen = named(models)
    options = {"x": x, "hx": hx, "tokens": tokens, "row": row, "path": path}
    bundles = [opened(model, name, **options) for name, model in chosen]
    streams = [
        model if isinstance(model, LiveStream) else LiveStream(model, row) for _, model in chosen[:1] if _runs(model)
    ]
    return Studio(bundles, {**({"text": text} if text else {}), **check_view(view or {})}, *streams)


def _runs(model: Any) -> bool:
    return isinstance(model, Stream | LiveStream)


def trace_html(trace: Trace) -> str | None:
    """Return what a notebook shows of a trace; None where it can't be shown."""
    from hiddenstate.studio.notebook import trace_html

    return trace_html(trace)
