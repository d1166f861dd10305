"""The LSTMs found in a file: named, listed with their sizes, and built when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from hiddenstate.errors import ArgumentError, HiddenStateError, NameUnknownError
from hiddenstate.lstm import LSTM


@dataclass(frozen=True)
class Candidate:
    """An LSTM that was found: its sizes in a line, and what builds it (or refuses it, and says why)."""

    about: str
    build: Callable[[], LSTM]


@dataclass(frozen=True)
class Found(Mapping[str, LSTM]):
    """The LSTMs found in a file, by name. Each is built when it is asked for; `print` lists them.

    Args:
        where: what they were found in.
        candidates: each by its name.
        others: what is no LSTM but looks like one, and what it is instead.
        chooser: the argument that chooses among them.
    """

    where: str
    candidates: Mapping[str, Candidate]
    others: Mapping[str, str] = field(default_factory=dict)
    chooser: str = "name"

    def __getitem__(self, name: str) -> LSTM:
        """Build one.

        Raises:
            NameUnknownError: there is none of this name.
            HiddenStateError: it can't be an `LSTM` of this library; the message says why.
        """
        if name in self.candidates:
            return self.candidates[name].build()
        if name in self.others:
            raise ArgumentError(f"{name!r} in {self.where} is no LSTM: {self.others[name]}")
        raise NameUnknownError(f"no LSTM {name!r}: {self}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def one(self, name: str | None) -> LSTM:
        """Build the one of this name; without a name, the only one.

        Raises:
            NameUnknownError: there is none of this name, or none at all.
            ArgumentError: there are several, and no name was given.
        """
        if name is None and len(self) == 1:
            (name,) = self
        if name is None:
            self._refuse_to_choose()
        return self[name]

    def _refuse_to_choose(self) -> NoReturn:
        if not self.candidates:
            raise NameUnknownError(str(self))
        raise ArgumentError(f"{self}\nChoose one with {self.chooser}=")

    def __str__(self) -> str:
        count = len(self) or "no"
        lines = [f"{self.where} holds {count} LSTM{'' if count == 1 else 's'}"]
        lines += [f"{name!r}: {candidate.about}" for name, candidate in self.candidates.items()]
        if not self.candidates:
            lines += [f"{name!r} is none: {what}" for name, what in self.others.items()]
        return "\n  ".join(lines)

    __repr__ = __str__


def about(input_size: int, hidden_size: int, **options: int | bool) -> str:
    """Sizes in a line, as the LSTM would print itself; wrong ones are named and not refused.

    >>> about(8, 16, num_layers=2, bidirectional=True)
    'LSTM(8, 16, num_layers=2, bidirectional=True)'
    """
    try:
        return repr(LSTM(input_size, hidden_size, **options, device="meta"))  # type: ignore[arg-type]
    except HiddenStateError as error:
        return f"sizes that no LSTM has ({error})"
