"""The messages between an open page and Python, the same for servers and notebooks.

A message is a header followed by numbers. A frame has the header's length (four bytes, little-endian), the header as
JSON, and the numbers as little-endian float32; ``arrays`` in the header lists their names and shapes in order. Messages
from a page are only text: JSON without numbers.

Each open page has its own queue of the latest messages.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.base.indexing import count, freeze
from hiddenstate.errors import MessageError

MOST_BYTES = 256 * 1024  # maximum size in bytes of a message from a page
MOST_CHARACTERS = 20_000  # maximum number of characters in a text
MOST_ITEMS = 1000  # maximum number of units, steps or edits in a list

Floats = NDArray[np.float32]
KEPT = 512  # messages in a viewer's queue


class ViewPart(NamedTuple):
    """A part of the page's view."""

    what: str  # what it must be, for messages
    check: Callable[[Any], object]  # returns it as a JSON value
    type: str  # in TypeScript
    first: Any  # its value in a new page
    about: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class BeginMessage:
    """A stream continues from here; step ``t`` is next."""

    t: int  # the number of the step
    h: Floats  # hidden state ``[L, P]`` before it
    c: Floats | None = None  # cell state ``[L, H]`` before it, if it is an LSTM


@dataclass(frozen=True, eq=False)
class StepMessage:
    """A stream has read a step."""

    t: int  # its number
    token: str | None  # its word, or None
    x: Floats  # the input ``[C]``
    h: Floats  # hidden state ``[L, P]`` after it
    c: Floats | None = None  # cell state ``[L, H]`` after it, if it is an LSTM


@dataclass(frozen=True, eq=False)
class ViewMessage:
    """The changed parts of the view's state, in JSON types or NumPy's numbers, from the page or Python."""

    view: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "view", check_view(self.view))


Message = BeginMessage | StepMessage | ViewMessage
TYPES: dict[type[Message], str] = {BeginMessage: "begin", StepMessage: "step", ViewMessage: "view"}


def encode(message: Message) -> tuple[dict[str, Any], bytes]:
    """Return a message's header and its numbers."""
    parts = vars(message)
    numbers = {name: value for name, value in parts.items() if isinstance(value, np.ndarray)}
    header = {"type": TYPES[type(message)], **{name: parts[name] for name in parts if name not in numbers}}
    if numbers:
        header["arrays"] = {name: value.shape for name, value in numbers.items()}
    return header, b"".join(value.astype("<f4").tobytes() for value in numbers.values())


def frame(message: Message) -> bytes:
    """Return a message as the bytes of a frame."""
    header, numbers = encode(message)
    text = json.dumps(header, ensure_ascii=False).encode(errors="backslashreplace")  # lone surrogates are escaped
    return len(text).to_bytes(4, "little") + text + numbers


def decode(text: str | bytes) -> ViewMessage:
    """Parse a message from a page."""
    if not isinstance(text, str):
        raise MessageError(f"expected text from a page, got {len(text)} bytes of binary data")
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise MessageError(f"a message may have at most {MOST_BYTES} bytes, got {len(text.encode(errors='replace'))}")
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message must be JSON: {error}") from error
    return read(data)


def read(data: object) -> ViewMessage:
    """Convert a message from a page that was read from JSON."""
    if not isinstance(data, dict) or set(data) != {"type", "view"} or data["type"] != TYPES[ViewMessage]:
        raise MessageError(f'expected {{"type": "view", "view": ...}}, got {_short(data)}')
    return ViewMessage(data["view"])


def check_view(view: object) -> dict[str, Any]:
    """Check the parts of a view, and return them as JSON values."""
    if not isinstance(view, Mapping):
        raise MessageError(f"a view must be an object that maps names to values, got {type(view).__name__}")
    return {name: _plain_part(name, value) for name, value in view.items()}


def _plain_part(name: str, value: object) -> object:
    if name not in VIEW:
        raise MessageError(f"the view has no {_short(name)}: it has {', '.join(VIEW)}")
    part = VIEW[name]
    try:
        return part.check(value)
    except (TypeError, ValueError):
        raise MessageError(f"{name} of the view must be {part.what}, got {_short(value)}") from None


def _count(value: Any) -> int:
    whole = freeze(value, "it")  # anything with __index__, except bool
    if not isinstance(whole, int) or not -1 <= whole < 2**31:
        raise ValueError
    return whole


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise ValueError
    return str(value)


def _counts(value: Any) -> list[int]:
    whole = freeze(value, "it")
    if not isinstance(whole, (tuple, range)) or count(whole) > MOST_ITEMS:
        raise ValueError
    return [_count(item) for item in whole]


def _number(value: object) -> int | float:
    """Return a number that JSON can express; reject NaN and infinity (which Python reads from 1e999)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError
    number = value if isinstance(value, int) else float(value)
    if not abs(number) <= sys.float_info.max:
        raise ValueError
    return number


def _edit(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {"place", "kind", "value", "unit", "t", "scope"}:
        raise ValueError
    texts = {name: _text(value[name]) for name in ("place", "kind", "scope")}
    counts = {name: None if value[name] is None else _counts(value[name]) for name in ("unit", "t")}
    return {**texts, **counts, "value": _number(value["value"])}


def _edits(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise ValueError
    return [_edit(edit) for edit in value]


def _texts(first: str = "", about: str = "") -> ViewPart:
    return ViewPart(f"a text of at most {MOST_CHARACTERS} characters", _text, "string", first, about)


def _number_from(first: int, about: str) -> ViewPart:
    return ViewPart("a whole number", _count, "number", first, about)


def _choice(*texts: str, first: str = "", about: str = "") -> ViewPart:
    def chosen(value: object) -> object:
        if value not in texts:
            raise ValueError
        return value

    union = " | ".join(f'"{text}"' for text in texts)
    return ViewPart(f"one of {', '.join(texts)}", chosen, union, first or texts[0], about, texts)


# The parts of the page's view, from which its type in web/facts.ts is made; the page checks whether they fit a model.
VIEW: dict[str, ViewPart] = {
    "page": _choice("read", "compare", "structure", "explain", "units", "search"),
    "model": _texts(about="its id"),
    "text": _texts(),
    "otherModel": _texts(about='compare: "" for the same model'),
    "otherText": _texts(about="compare"),
    "comparison": _choice("sentences", "models", "edits", about="the kind of comparison on the compare page"),
    "align": _choice("position", "words", first="words", about="how steps are aligned there"),
    "step": _number_from(0, "the cursor"),
    "track": _texts(),
    "quantity": _texts("c", about="the values in the heat map"),
    "unit": _number_from(-1, "the one under the microscope"),
    "pinned": ViewPart("a list of whole numbers", _counts, "number[]", []),
    "sort": _texts("index", about='"index", "change", "cluster", or "tag:NOUN" (correlation)'),
    "head": _texts(about="which head is shown"),
    "zoom": _choice("model", "layer", "unit", "gate", first="unit", about="of the microscope"),
    "gate": _texts("f", about="the gate whose products are shown"),
    "edits": ViewPart("a list of edits", _edits, "readonly Edit[]", []),
    "tour": _number_from(-1, "the step of the tour, or -1"),
    "sandbox": _texts(about='the sizes in the structure page\'s sandbox; "" for those of the lesson'),
    "rows": _texts("step", about='the order of the state table: a column, with "-" in front for descending order'),
    "filter": _texts(about='the filter of its rows: "NOUN", "probability<0.6"'),
    "label": _texts(about='explain: the label to explain; "" for the model\'s prediction'),
    "measure": _choice("auto", "logit", "probability", about="explain: what of it; auto: whichever suits the model"),
    "memory": _texts(about='explain: the memory of the ledger, "l1.c[125]"; "" for the most telling one'),
    "writer": _number_from(-1, "explain: the step to follow in the ledger; -1 for the one of which most remains"),
    "method": _choice("occlusion", "shapley", about="explain: whether Shapley values are computed as well"),
    "players": _choice("words", "steps", about="explain: the units to replace if steps are characters"),
    "query": _texts(about="search: the query, as typed"),
    "unitRows": _texts("-held_out", about="units: the order of the gallery, like `rows`"),
    "unitFilter": _texts(about='units: the filter of the gallery: "l1.h NOUN"'),
    "theme": _choice("auto", "light", "dark"),
}


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _short(value: object) -> str:
    text = repr(value)
    size = f" ({len(value)} characters)" if isinstance(value, str) else ""
    return text if len(text) <= 60 else f"{text[:60]}...{size}"


class Subscriber:
    """A viewer: its queue of messages. ``wake`` is called from any thread, once, when there are messages to take."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = ForkSafeLock()
        self._waiting: deque[Message] = deque()
        self.begun = False

    def put(self, message: Message) -> None:
        """Add a message; if the queue is full, its older half is dropped."""
        with self._lock.lock:
            asleep = not self._waiting
            self._waiting.append(message)
            if len(self._waiting) > KEPT:
                self._waiting = _later_half(self._waiting)
        if asleep:
            self._wake()

    def take(self) -> list[Message]:
        """Return the queued messages in order, and empty the queue."""
        with self._lock.lock:
            taken, self._waiting = self._waiting, deque()
        return list(taken)


class Audience:
    """All viewers. If there are none, sending a message costs almost nothing."""

    def __init__(self) -> None:
        self.lookers: tuple[Subscriber, ...] = ()
        self._lock = ForkSafeLock()

    def __reduce__(self) -> tuple[type["Audience"], tuple[()]]:
        """A copy, such as one of a watched stream, starts without viewers."""
        return Audience, ()

    def join(self, looker: Subscriber) -> None:
        """Add a viewer."""
        with self._lock.lock:
            self.lookers = (*self.lookers, looker)

    def leave(self, looker: Subscriber) -> None:
        """Remove a viewer."""
        with self._lock.lock:
            self.lookers = tuple(other for other in self.lookers if other is not looker)

    def tell(self, message: Message) -> None:
        """Send a message to every viewer."""
        for looker in self.lookers:
            looker.put(message)


def _later_half(waiting: deque[Message]) -> deque[Message]:
    """Drop the older half of the steps, but keep the view and the state from which the stream continues in front."""
    every = list(waiting)
    dropped, kept = every[: len(every) // 2], every[len(every) // 2 :]
    views = [message.view for message in dropped if isinstance(message, ViewMessage)]
    last = next((message for message in reversed(dropped) if not isinstance(message, ViewMessage)), None)
    if isinstance(last, StepMessage):
        last = BeginMessage(last.t + 1, last.h, last.c)
    view = ViewMessage({name: value for parts in views for name, value in parts.items()}) if views else None
    return deque([message for message in (last, view) if message is not None] + kept)
