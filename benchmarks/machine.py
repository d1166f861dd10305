"""The machine that figures are measured on."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

import hiddenstate as hs
from hiddenstate import engine

PACKAGES = ("torch", "onnxruntime", "openvino")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads that torch, and so our engine, computes with."""
    return torch.get_num_threads()


def described() -> list[str]:
    """The machine and the versions of all that computes, in a few lines."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"{_cpu_model()}, {cores()} cores, {threads()} threads, {platform.system()}",
        f"Instruction sets: {' '.join(engine.cpu_features()) or 'not known'}; our engine runs {engine.isa()}",
        f"hiddenstate {hs.__version__}, Python {platform.python_version()}, {versions}",
    ]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or engine.machine()
