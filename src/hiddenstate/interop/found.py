"""The layers found in a file: listed with names and sizes, and built on access."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hiddenstate.base.messages import with_article
from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.interop.build import L
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.recurrent import Recurrent


@dataclass(frozen=True)
class Found(Mapping[str, L]):
    """The LSTMs found in a file (or GRUs, or plain RNNs), by name. Each is built on access; `print` lists them.

    Args:
        where: a description of the source.
        builders: functions that build each layer, or reject it with the reason.
        others: recurrent layers of another kind, with a description of each.
        chooser: the name of the argument that selects a layer.
        kind: the class of the layers.
    """

    where: str
    builders: Mapping[str, Callable[[], L]]
    others: Mapping[str, str] = field(default_factory=dict)
    chooser: str = "name"
    kind: type[Recurrent[Any, Any]] = LSTM

    @property
    def what(self) -> str:
        """The kind of layer, such as ``LSTM``."""
        return self.kind.__name__

    def __getitem__(self, name: str) -> L:
        """Build the layer with this name.

        Raises:
            NameUnknownError: there is no layer of this kind with this name.
            HiddenStateError: it can't be represented by a layer of this library; the message gives the reason.
        """
        if name in self.builders:
            with reading(self.where):
                return self.builders[name]()
        if name in self.others:
            raise ArgumentError(f"{name!r} in {self.where} is not {with_article(self.what)}: {self.others[name]}")
        raise NameUnknownError(f"no {self.what} {name!r}: {self}")

    def __contains__(self, name: object) -> bool:
        return name in self.builders

    def __iter__(self) -> Iterator[str]:
        return iter(self.builders)

    def __len__(self) -> int:
        return len(self.builders)

    def one(self, name: str | None) -> L:
        """Build the layer with this name; without a name, the only one.

        Raises:
            NameUnknownError: there is no layer of this kind with this name, or none at all.
            ArgumentError: there are several, and no name was given.
            HiddenStateError: it can't be represented by a layer of this library; the message gives the reason.
        """
        if name is not None:
            return self[name]
        if not self.builders:
            raise NameUnknownError(str(self))
        if len(self) > 1:
            raise ArgumentError(f"{self}\nChoose one with {self.chooser}=")
        return self[next(iter(self))]

    def __str__(self) -> str:
        count = len(self) or "no"
        lines = [f"{self.where} holds {count} {self.what}{'' if count == 1 else 's'}"]
        lines += [f"{name!r}: {self._about(name)}" for name in self]
        if not self.builders:
            lines += [f"{name!r} is not {with_article(self.what)}: {what}" for name, what in self.others.items()]
        return "\n  ".join(lines)

    __repr__ = __str__

    def _about(self, name: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings only concern users who select this layer
            try:
                return repr(self.builders[name]())
            except Exception as error:  # a damaged file may raise anything
                return f"refused: {error}"
