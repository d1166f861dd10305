"""The only seam to native code."""

import platform
import warnings

try:
    from hiddenstate import _native
except ImportError as error:  # a wheel for another machine, say: everything still works, in plain torch
    _native = None  # type: ignore[assignment]
    warnings.warn(
        f"hiddenstate's native module could not be loaded ({error}); computing goes on without it. Reinstalling "
        "hiddenstate on this machine usually mends it",
        stacklevel=2,
    )


def native_version() -> str | None:
    """Version that the native module was built as, or None when it could not be loaded."""
    return None if _native is None else _native.__version__


def cpu_features() -> list[str]:
    """Instruction sets that the CPU and the operating system support, narrowest first; empty when not known."""
    return [] if _native is None else _native.cpu_features()


def machine() -> str:
    """The processor's architecture, such as ``x86_64``."""
    return platform.machine()
