"""The effect of patching every place, unit and step: `sweep`.

- `run.py`: `sweep`
- `result.py`: its result, `Sweep`
- `patching.py`: runs one row many times, each time with different values patched in
- `adjoint.py`: the gradient of a target with respect to every gate and state
"""

from hiddenstate.explain.sweep.result import Sweep
from hiddenstate.explain.sweep.run import sweep

__all__ = ["Sweep", "sweep"]
