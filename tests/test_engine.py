"""The native module is there, and its absence is survived."""

import subprocess
import sys

from hiddenstate import __version__, engine


def test_native_module_is_of_this_version() -> None:
    assert engine.native_version() == __version__


def test_cpu_features_are_the_systems() -> None:
    """What the module reads from the CPU is what Linux lists, where there is such a list."""
    features = engine.cpu_features()
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            listed = next((line.split(":")[1].split() for line in file if line.startswith("flags")), None)
    except FileNotFoundError:
        listed = None
    if listed is not None:
        spelled = {feature: feature.replace("sse4.1", "sse4_1") for feature in features}
        assert [f for f, name in spelled.items() if name not in listed] == []
        assert ("avx2" in listed) == ("avx2" in features)
    assert features or engine.machine() not in ("x86_64", "aarch64")


def test_without_the_native_module_everything_works_with_one_warning() -> None:
    code = """
import sys, warnings
sys.modules["hiddenstate._native"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import hiddenstate as hs
    from hiddenstate import engine
    import torch
    assert hs.LSTM(4, 3).trace(torch.zeros(2, 4)).out.shape == (2, 3)
    assert engine.native_version() is None and engine.cpu_features() == []
said = [str(w.message) for w in caught if "native module could not be loaded" in str(w.message)]
assert len(said) == 1, said
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
