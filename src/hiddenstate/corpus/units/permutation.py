"""The probability of a correlation by chance, from shifts of the labels."""

import numpy as np
from numpy.typing import NDArray


def shift_p(values: NDArray[np.float64], labels: NDArray[np.bool_], least: int = 32) -> tuple[float, float]:
    """Return the correlation of values with a label, and the share of circular shifts of the labels with one as large.

    A shift keeps how values, and labels, depend on their neighbours; a shuffle would not, and would make p too small.
    All shifts by at least ``least`` steps are computed, by Fourier transforms.

    Args:
        values: ``[T]``.
        labels: ``[T]``, whether a step has the label.
        least: the smallest shift, on either side.

    Returns:
        The correlation, and p: (shifts with an absolute correlation at least as large + 1) / (shifts + 1). (0, 1) if a
        side is constant or there are too few steps.
    """
    T = len(values)
    if 2 * least + 1 >= T:
        return 0.0, 1.0
    a, b = values - values.mean(), labels - labels.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale < 1e-9:
        return 0.0, 1.0
    every = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), T) / scale
    shifted = np.abs(every[least : T - least + 1])
    found = float(a @ b / scale)
    return found, (int((shifted >= abs(found) - 1e-12).sum()) + 1) / (len(shifted) + 1)
