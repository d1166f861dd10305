"""The LSTM you can see into.

>>> import hiddenstate as hs
>>> lstm = hs.LSTM(input_size=4, hidden_size=3)

The public names are those of ``__init__.pyi``. Their modules, and torch with them, are loaded when one of the names is
first used, so that a command that only shows its help loads neither.
"""

import sys as _sys
from types import ModuleType as _ModuleType

from hiddenstate.base import forks as _forks  # noqa: F401 (notices forks from here on)
from hiddenstate.base import later as _later

_homes = _later.homes_in_stub(__file__)
# All names are loaded together, so that no import happens in the middle of a call; only names of these packages, which
# take the longest, are loaded one by one.
_SLOW = ("hiddenstate.corpus", "hiddenstate.explain", "hiddenstate.models")
_load = _later.loader(__name__, _homes)


class _Package(_ModuleType):
    """The package, in which ``hiddenstate.studio`` is the function, although a module has the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        # The import system sets every loaded submodule as an attribute of the package.
        if name != "studio" or not isinstance(value, _ModuleType):
            super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if not name.startswith("_"):  # otherwise a module that is being imported, or what Python looks up in every module
        for other, (home, there) in _homes.items():
            if not f"{home}.{there}".startswith(_SLOW):  # explain is itself a package
                _load(other)
    return globals()[name] if name in globals() else _load(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_sys.modules[__name__].__class__ = _Package
_later.exporters.append(_later.called_later("hiddenstate.interop.onnx.lstm:export_call"))
_later.index_openers.append(_later.called_later("hiddenstate.corpus.answers:open_answers"))
_later.accelerators.append(_later.called_later("hiddenstate.interop.torch.accelerate.acceleration:accelerate"))
_later.notebook_views.append(_later.called_later("hiddenstate.studio.view:trace_html"))
_later.stand_ins.append(_later.called_later("hiddenstate.interop.torch.accelerate.acceleration:find_traceable"))

# hs.set is left out: `from hiddenstate import *` must not take Python's own set away
__all__ = sorted({*_homes, "__version__"} - {"set"})
