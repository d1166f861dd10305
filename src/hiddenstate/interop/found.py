"""The LSTMs found in a file: named, listed with their sizes, and built when they are asked for."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from hiddenstate.base.reading import reading
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.nn.lstm import LSTM


@dataclass(frozen=True)
class Found(Mapping[str, LSTM]):
    """The LSTMs found in a file, by name. Each is built when it is asked for; `print` lists them.

    Args:
        where: what they were found in.
        builders: what builds each, or refuses it and says why.
        others: what is no LSTM but looks like one, and what it is instead.
        chooser: the argument that chooses among them.
    """

    where: str
    builders: Mapping[str, Callable[[], LSTM]]
    others: Mapping[str, str] = field(default_factory=dict)
    chooser: str = "name"

    def __getitem__(self, name: str) -> LSTM:
        """Build one.

        Raises:
            NameUnknownError: there is none of this name.
            HiddenStateError: it can't be an `LSTM` of this library; the message says why.
        """
        if name in self.builders:
            with reading(self.where):
                return self.builders[name]()
        if name in self.others:
            raise ArgumentError(f"{name!r} in {self.where} is no LSTM: {self.others[name]}")
        raise NameUnknownError(f"no LSTM {name!r}: {self}")

    def __contains__(self, name: object) -> bool:
        return name in self.builders

    def __iter__(self) -> Iterator[str]:
        return iter(self.builders)

    def __len__(self) -> int:
        return len(self.builders)

    def one(self, name: str | None) -> LSTM:
        """Build the one of this name; without a name, the only one.

        Raises:
            NameUnknownError: there is none of this name, or none at all.
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
            lines += [f"{name!r} is none: {what}" for name, what in self.others.items()]
        return "\n  ".join(lines)

    __repr__ = __str__

    def _about(self, name: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to warn of is said to those who choose it
            try:
                return repr(self.builders[name]())
            except Exception as error:  # what of a file is damaged may raise anything
                return f"refused: {error}"
