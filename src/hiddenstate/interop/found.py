"""The LSTMs found in a file: listed with names and sizes, and built on access."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.nn.lstm import LSTM


@dataclass(frozen=True)
class Found(Mapping[str, LSTM]):
    """The LSTMs found in a file, by name. Each is built on access; `print` lists them.

    Args:
        where: a description of the source.
        builders: functions that build each LSTM, or refuse it with the reason.
        others: things that look like an LSTM but are not, with a description of each.
        chooser: the argument that selects one.
    """

    where: str
    builders: Mapping[str, Callable[[], LSTM]]
    others: Mapping[str, str] = field(default_factory=dict)
    chooser: str = "name"

    def __getitem__(self, name: str) -> LSTM:
        """Build the LSTM with this name.

        Raises:
            NameUnknownError: there is no LSTM with this name.
            HiddenStateError: it cannot be represented by an `LSTM` of this library; the message gives the reason.
        """
        if name in self.builders:
            with reading(self.where):
                return self.builders[name]()
        if name in self.others:
            raise ArgumentError(f"{name!r} in {self.where} is not an LSTM: {self.others[name]}")
        raise NameUnknownError(f"no LSTM {name!r}: {self}")

    def __contains__(self, name: object) -> bool:
        return name in self.builders

    def __iter__(self) -> Iterator[str]:
        return iter(self.builders)

    def __len__(self) -> int:
        return len(self.builders)

    def one(self, name: str | None) -> LSTM:
        """Build the LSTM with this name; without a name, the only one.

        Raises:
            NameUnknownError: there is no LSTM with this name, or no LSTM at all.
            ArgumentError: there are several, and no name was given.
            HiddenStateError: it can't be an `LSTM` of this library; the message says why.
        """
        if name is None and len(self) == 1:
            (name,) = self
        if name is None:
            self._refuse_to_choose()
        return self[name]

    def _refuse_to_choose(self) -> NoReturn:
        if not self.builders:
            raise NameUnknownError(str(self))
        raise ArgumentError(f"{self}\nChoose one with {self.chooser}=")

    def __str__(self) -> str:
        count = len(self) or "no"
        lines = [f"{self.where} holds {count} LSTM{'' if count == 1 else 's'}"]
        lines += [f"{name!r}: {self._about(name)}" for name in self]
        if not self.builders:
            lines += [f"{name!r} is not an LSTM: {what}" for name, what in self.others.items()]
        return "\n  ".join(lines)

    __repr__ = __str__

    def _about(self, name: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings are for users who select this LSTM
            try:
                return repr(self.builders[name]())
            except Exception as error:  # a damaged file may raise anything
                return f"refused: {error}"
