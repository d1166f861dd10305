"""The package is loaded when one of its names is first used, and then behaves as if it had been loaded at once."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

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


def test_no_other_library_is_loaded_until_it_is_needed(tmp_path: Path) -> None:
    """Nor torch's compiler, nor tools; arrays need no pandas, and Keras' files are read in another process."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for k, shape in enumerate([(3, 8), (2, 8), (8,)]):
            file[f"layers/lstm/cell/vars/{k}"] = np.ones(shape, np.float32)
    run(f"""
import sys
sys.modules["pandas"] = sys.modules["xarray"] = None
import hiddenstate as hs
hs.LSTM
assert not [name for name in sys.modules if name.startswith("hiddenstate.explain.")]
assert not {{"torch._dynamo", "onnx", "h5py", "keras", "jax", "flax"}} & set(sys.modules)
hs.explain.logit
assert "hiddenstate.explain.subject.target" in sys.modules
import numpy, torch
model = hs.series_model(hs.LSTM(2, 3), ["a", "b"], ["x", "y", "z"], scale=(1.0, 2.0))
days = numpy.arange("2015-01-01", "2015-01-06", dtype="M8[D]")
for data in (numpy.zeros((5, 2)), torch.zeros(5, 2), {{"b": [0.0] * 5, "a": numpy.zeros(5)}}):
    read = model.prepare(data, dates=days)
    assert read.step_names()[1] == "2015-01-02" and model.forecast(read.x).shape == (5, 1, 3)
assert str(hs.from_keras({str(path)!r})) == "LSTM(3, 2, batch_first=True)"
assert not {{"h5py", "onnx", "keras", "jax", "flax"}} & set(sys.modules)
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
