"""All errors of this library.

Each inherits `HiddenStateError` and a built-in type, usually the one that torch raises in the same situation, so that
code written against torch keeps working. Each message says what was received, what was expected, and what to do.
"""


class HiddenStateError(Exception):
    """Base class of the errors that hiddenstate raises deliberately."""


class ShapeError(HiddenStateError, RuntimeError):
    """A tensor's sizes do not fit the layer (torch raises `RuntimeError`)."""


class RankError(HiddenStateError, ValueError, RuntimeError):
    """A tensor has the wrong number of dimensions (torch raises `ValueError` or, for a state, `RuntimeError`)."""


class DtypeError(HiddenStateError, ValueError, RuntimeError):
    """Data types or memory layouts do not fit (torch raises `ValueError` or `RuntimeError`)."""


class DeviceError(HiddenStateError, RuntimeError):
    """Tensors are on different devices (torch raises `RuntimeError`)."""


class ArgumentError(HiddenStateError, ValueError):
    """An argument is out of range or contradicts another argument."""


class ArgumentTypeError(HiddenStateError, TypeError):
    """An argument has the wrong type."""


class ConcurrentUseError(HiddenStateError, RuntimeError):
    """An object that carries a state is used by two threads at once."""


class RunInUseError(HiddenStateError, RuntimeError):
    """Another process is training in a run's folder."""


class IndexRangeError(HiddenStateError, IndexError):
    """A requested step, unit or batch row does not exist."""


class NameUnknownError(HiddenStateError, KeyError):
    """This LSTM has no gate, state, weight or layer of the requested name."""

    def __str__(self) -> str:
        # KeyError would print the message's repr, with quotes and escapes.
        return str(self.args[0])


class TraceTooLargeError(HiddenStateError, MemoryError):
    """A trace would exceed its memory limit."""


class MissingDependencyError(HiddenStateError, ImportError):
    """A call needs an optional package that is not installed."""


class FileFormatError(HiddenStateError, ValueError):
    """A file is damaged, of the wrong kind, or of a later version."""


class FileWriteError(HiddenStateError, OSError):
    """A file or folder could not be written (read-only, or the disk is full, for example); its old content remains."""


class MessageError(HiddenStateError, ValueError):
    """A message between the studio's page and Python is invalid."""


class DownloadError(HiddenStateError, OSError):
    """A file could not be fetched."""


class AnswerError(HiddenStateError, AssertionError):
    """An answer to an exercise of the course is wrong.

    Attributes:
        misconception: the misconception behind it, ``M1`` and so on; "" if the course does not list it.
    """

    def __init__(self, sentence: str, misconception: str = "") -> None:
        super().__init__(sentence)
        self.misconception = misconception

    def _render_traceback_(self) -> list[str]:
        """Show only the message in a notebook, since the traceback of the check would hide it."""
        return str(self).splitlines()


class BrokenModelError(HiddenStateError, AssertionError):
    """`hiddenstate.check` found mistakes in a model, and `raise_if_broken` was called."""


class ExportError(HiddenStateError, RuntimeError):
    """A model could not be exported to another runtime, or gives different results there."""
