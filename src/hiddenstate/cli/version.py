"""``hiddenstate version``: shows installed versions and the engine in use."""

import platform
from importlib.metadata import version as version_of

from hiddenstate.cli.outputs import standard_output


def version() -> None:
    """Show versions, CPU features and the engine in use."""
    import torch

    from hiddenstate.engine import kernels

    built = kernels.version()
    lines = {
        "hiddenstate": version_of("hiddenstate"),
        "python": platform.python_version(),
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "native module": built or kernels.absence,
        "CPU": f"{kernels.machine()} {' '.join(kernels.cpu_features()) or '(features unknown)'}",
        "engine": _engine(),
    }
    standard_output(exact=False).writelines(f"{name:14} {value}\n" for name, value in lines.items())


def _engine() -> str:
    """Describe the engine that computes an ordinary call."""
    from hiddenstate.engine import kernels

    if kernels.isa() is None:
        return "torch's kernels, and the reference path (plain torch) where they have none"
    found = f"native, {kernels.isa()} (of {', '.join(kernels.isas())}), for float32, float64 and bfloat16 on CPU"
    of_int8 = kernels.int8()
    return found if of_int8 is None else f"{found}; {of_int8.native.isa} for int8 weights"
