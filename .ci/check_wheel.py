"""Checks an installed wheel: the native engine loads, shares torch's threads and computes the right results."""

from pathlib import Path

import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.course.files import NOTEBOOKS
from hiddenstate.course.opening import FIRST, PAGES
from hiddenstate.engine import kernels
from hiddenstate.models.model_folder import SHIPPED

TOLERANCE = 1e-5


def main() -> None:
    """Check it."""
    assert kernels.isa(), "the native module did not load"
    assert len(_openmp_libraries()) <= 1, f"several pools of threads: {_openmp_libraries()}"
    assert list(NOTEBOOKS.glob("*.ipynb")), "the course's notebooks are not in the wheel"
    assert (PAGES / FIRST).is_file(), "the course's pages are not in the wheel: HIDDENSTATE_REQUIRE_PAGES=1"
    for name in SHIPPED:
        hs.load(name)
    torch.manual_seed(0)
    lstm = hs.LSTM(17, 65, num_layers=2, bidirectional=True)
    x, lengths = torch.randn(12, 5, 17), torch.tensor([12, 3, 0, 7, 12])
    found_natively = _output_and_gradients(lstm, x, lengths)
    with hs.backend("reference"):
        true = _output_and_gradients(lstm, x, lengths)
    gaps = [_gap(found, wanted) for found, wanted in zip(found_natively, true, strict=True)]
    assert max(gaps) <= TOLERANCE, f"native and reference differ by {max(gaps):.2g}"
    print(f"hiddenstate {hs.__version__}: the native engine ({kernels.isa()}) gives the reference's numbers")


def _output_and_gradients(lstm: hs.LSTM, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
    out, _ = lstm(x, lengths=lengths)
    return out.detach(), *torch.autograd.grad(out.pow(2).sum(), list(lstm.parameters()))


def _gap(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest value (at least 1)."""
    return float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))


def _openmp_libraries() -> set[str]:
    """GCC's OpenMP libraries that this process has loaded, if the system reports them."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return {line.split()[-1] for line in lines if "libgomp" in line}


if __name__ == "__main__":
    main()
