"""Opacus on converted models, as in the example."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hiddenstate as hs
from support import assert_all_close

EXAMPLE = Path(__file__).parents[3] / "examples" / "opacus_lstm.py"


@pytest.fixture
def example() -> Any:
    pytest.importorskip("opacus")
    return runpy.run_path(str(EXAMPLE))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "proj_size": 2}])
def test_gradients_of_each_row_are_those_of_one_by_one(example: Any, options: dict[str, Any]) -> None:
    """Through outputs and final states, for data that need no gradient."""
    from opacus.grad_sample import GradSampleModuleExpandedWeights

    lstm, x = hs.LSTM(4, 5, batch_first=True, **options), torch.randn(3, 7, 4)

    def total(result: Any) -> torch.Tensor:
        out, (h, c) = result
        return out.sum() + (h * h).sum() + (c * c).sum()  # type: ignore[no-any-return]

    parameters = list(lstm.parameters())
    want = [torch.autograd.grad(total(lstm(row[None])), parameters) for row in x]
    total(GradSampleModuleExpandedWeights(lstm, loss_reduction="sum")(x)).backward()
    found = [vars(parameter)["grad_sample"] for parameter in parameters]
    assert_all_close(found, [torch.stack(of_parameter) for of_parameter in zip(*want, strict=True)])


@pytest.mark.filterwarnings("default")
def test_opacus_replaces_ours_once_it_is_told(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from opacus.layers import DPLSTM
    from opacus.validators import ModuleValidator

    for registry in ("VALIDATORS", "FIXERS"):
        monkeypatch.setattr(ModuleValidator, registry, dict(getattr(ModuleValidator, registry)))
    model = hs.convert(nn.Sequential(nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)))
    assert ModuleValidator.validate(model) == []
    assert len(ModuleValidator.validate(hs.convert_back(model))) == 1
    example["register"]()
    assert len(ModuleValidator.validate(model)) == 1
    fixed, x = ModuleValidator.fix(model), torch.randn(3, 7, 4)
    assert type(fixed[0]) is DPLSTM
    assert_all_close(fixed(x)[0], model(x)[0])


def test_the_example_trains() -> None:
    """In a separate process, since Opacus copies modules by pickling and must find their class."""
    pytest.importorskip("opacus")
    done = subprocess.run([sys.executable, "-W", "ignore", EXAMPLE], capture_output=True, text=True, check=True)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", done.stdout)]
    assert len(losses) == 2
    assert max(losses) < 0.5
