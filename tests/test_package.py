"""The package is loaded when one of its names is first used, and then behaves as if it had been loaded at once."""

import subprocess
import sys

import hiddenstate as hs


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_is_there_and_listed() -> None:
    names = hs.__all__  # type: ignore[attr-defined]
    assert [name for name in names if not hasattr(hs, name)] == []
    assert set(names) <= set(dir(hs))
    assert callable(hs.set)


def test_torch_is_not_loaded_with_the_package_but_with_its_first_name() -> None:
    run("""
import sys
import hiddenstate as hs
assert "torch" not in sys.modules
assert hs.__version__ and "LSTM" in dir(hs) and not hasattr(hs, "__wrapped__")
assert "torch" not in sys.modules
hs.LSTM(2, 3)
LATER = "Index compare explain export_c index language_model load open_index save series_model tagger what_if".split()
assert all(name in vars(hs) for name in hs.__all__ if name not in ("__version__", *LATER))
""")


def test_functions_are_not_replaced_by_modules_of_their_name() -> None:
    run("""
import hiddenstate.studio.view, hiddenstate.explain.sweep.run
import hiddenstate as hs
assert all(type(each) is type(lambda: 0) for each in (hs.studio, hs.explain.sweep))
assert hs.explain.ledger and hs.plant.latch and hs.nn.lstm
""")


def test_who_imports_a_module_alone_has_what_the_package_adds_to_it() -> None:
    run("""
import torch
from torch import nn
from hiddenstate.nn.lstm import LSTM
from hiddenstate.engine import dispatch
from hiddenstate.tracing.trace import notebook_views
from hiddenstate.tracing.traceable import find_recordable
assert dispatch.exporters and notebook_views
assert find_recordable(nn.Linear(2, 3)) is None
assert LSTM(2, 3).trace(torch.zeros(4, 1, 2))._repr_html_()
""")
