"""Traces as tables and labelled arrays."""

import sys

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import MissingDependencyError


@pytest.fixture
def trace() -> hs.Trace:
    lstm = hs.LSTM(4, 3, 2, bidirectional=True, proj_size=2)
    words = [["a", "b", "c", "d"], ["e", "f"]]
    return lstm.trace(torch.randn(4, 2, 4), lengths=[4, 2], tokens=words, steps=[0, 1, 3])


def test_dataframe(trace: hs.Trace) -> None:
    table = trace.to_dataframe()
    assert list(table.columns) == ["row", "layer", "direction", "step", "token", "unit", *"ifgoch"]
    assert len(table) == (3 + 2) * 2 * 2 * 3, "steps past an end are left out"
    line = table[(table.row == 0) & (table.layer == 1) & (table.direction == "reverse") & (table.step == 3)]
    assert line.token.unique().tolist() == ["d"]
    assert line.f.tolist() == trace["l1r.f"][2, 0].tolist()
    assert line.h.tolist()[:2] == trace["l1r.h"][2, 0].tolist()
    assert np.isnan(line.h.tolist()[2]), "the projected state has fewer units"
    assert str(line.f.dtype) == "float32"


def test_dataframe_of_a_part() -> None:
    lstm = hs.LSTM(4, 3, 2, dtype=torch.bfloat16)
    table = lstm.trace(torch.randn(2, 4).bfloat16(), keep=["l1.f"]).to_dataframe()
    assert list(table.columns) == ["row", "layer", "direction", "step", "unit", "f"]
    assert table.layer.unique().tolist() == [1]


def test_xarray(trace: hs.Trace) -> None:
    data = trace.to_xarray()
    assert data.f.dims == ("layer", "direction", "time", "batch", "unit")
    assert data.h.dims == ("layer", "direction", "time", "batch", "projected_unit")
    assert data.f.sel(layer=1, direction="reverse", time=3, batch=0).values.tolist() == trace["l1r.f"][2, 0].tolist()
    assert data.token.sel(time=3, batch=0).item() == "d"
    assert np.isnan(data.f.sel(time=3, batch=1)).all(), "past an end"
    assert data.sizes["time"] == 3


def test_xarray_of_a_part() -> None:
    lstm = hs.LSTM(4, 3, 2)
    data = lstm.trace(torch.randn(2, 4), keep=["l1.f", "l0.c"]).to_xarray()
    assert set(data.data_vars) == {"f", "c"}
    assert np.isnan(data.f.sel(layer=0)).all()
    assert not np.isnan(data.f.sel(layer=1)).any()


@pytest.mark.parametrize(("method", "package"), [("to_dataframe", "pandas"), ("to_xarray", "xarray")])
def test_a_missing_package_is_named(
    method: str, package: str, trace: hs.Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"{method} needs {package}: pip install 'hiddenstate\[frames\]'"):
        getattr(trace, method)()
