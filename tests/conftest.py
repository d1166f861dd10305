import os
import signal
from pathlib import Path

import hypothesis
import pytest
import torch

# A separate program, which needs atheris and has no tests.
collect_ignore = ["attacks/fuzz.py"]

# A shell starts background jobs with Ctrl-C ignored, and the programs that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Shared machines are slow at times; a slow example is not a failure, and failures must be reproducible.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=40, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("ci")

# The tensors are small, and threads that wait for each other on a busy machine take twenty times as long.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with real corpora, if there is one beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip("no corpora beside this checkout")
    return folder
