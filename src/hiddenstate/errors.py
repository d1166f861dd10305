"""Every error of this library.

Each inherits `HiddenStateError` and the built-in type that torch raises in the same situation (where torch checks for
it at all), so that code written against torch keeps working. A message says what was got, what was expected, and what
to do.
"""


class HiddenStateError(Exception):
    """Base of every error raised on purpose by hiddenstate."""


class ShapeError(HiddenStateError, RuntimeError):
    """A tensor has sizes that do not fit the layer (torch raises `RuntimeError` there)."""


class RankError(HiddenStateError, ValueError, RuntimeError):
    """A tensor has a wrong number of dimensions (torch raises `ValueError` or, for a state, `RuntimeError`)."""


class DtypeError(HiddenStateError, ValueError, RuntimeError):
    """Data types, or the ways that numbers lie in memory, do not fit (torch: `ValueError` or `RuntimeError`)."""


class DeviceError(HiddenStateError, RuntimeError):
    """Tensors lie on different devices (torch raises `RuntimeError` there)."""


class ArgumentError(HiddenStateError, ValueError):
    """An argument has a value out of range or contradicts another argument."""


class ArgumentTypeError(HiddenStateError, TypeError):
    """An argument has a wrong type."""


class ConcurrentUseError(HiddenStateError, RuntimeError):
    """Something that carries a state is used by two threads at once."""


class RunInUseError(HiddenStateError, RuntimeError):
    """Another process is training in the folder of a run."""


class IndexRangeError(HiddenStateError, IndexError):
    """A step, unit or batch row was asked for that does not exist."""


class NameUnknownError(HiddenStateError, KeyError):
    """A gate, state, weight or layer was asked for by a name that this LSTM does not have."""

    def __str__(self) -> str:
        # KeyError would print the repr of the message, with its quotes and escapes.
        return str(self.args[0])


class TraceTooLargeError(HiddenStateError, MemoryError):
    """A trace would take more memory than allowed."""


class MissingDependencyError(HiddenStateError, ImportError):
    """An optional package is needed for this call and is not installed."""


class FileFormatError(HiddenStateError, ValueError):
    """A file is not what it should be: damaged, of another kind, or of a later version."""


class FileWriteError(HiddenStateError, OSError):
    """A file or a folder could not be written: it is read-only, or the disk is full, say. What was there stays."""


class MessageError(HiddenStateError, ValueError):
    """A message between the studio's page and Python is not what it should be."""


class DownloadError(HiddenStateError, OSError):
    """A file could not be fetched."""


class AnswerError(HiddenStateError, AssertionError):
    """An answer to an exercise of the course is not right.

    Attributes:
        misconception: which idea is behind it, ``M1`` and so on; "" where none of those is that the course knows.
    """

    def __init__(self, said: str, misconception: str = "") -> None:
        super().__init__(said)
        self.misconception = misconception

    def _render_traceback_(self) -> list[str]:
        """Show a notebook the message alone: the lines of the check itself would hide it."""
        return str(self).splitlines()


class ExportError(HiddenStateError, RuntimeError):
    """A model could not be written for another runtime, or does not give the same numbers there."""
