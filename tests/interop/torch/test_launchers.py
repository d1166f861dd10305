"""Makes torchrun start its workers under ``hiddenstate.run``."""

import pytest

from hiddenstate.interop.torch.accelerate.program import is_torchrun, torchrun_arguments

OPTIONS = ["--nproc_per_node", "2", "--tee", "3"]


@pytest.mark.parametrize(
    ("report", "given", "made"),
    [
        (False, ["job.py", "3", "--x"], ["-m", "hiddenstate.run", "job.py", "3", "--x"]),
        (True, ["job.py"], ["-m", "hiddenstate.run", "--report", "job.py"]),
        (False, ["-m", "job", "-m", "--", "y"], ["-m", "hiddenstate.run", "-m", "job", "-m", "--", "y"]),
        (True, ["--module", "job"], ["--module", "hiddenstate.run", "--report", "-m", "job"]),
    ],
)
def test_workers_keep_their_arguments(report: bool, given: list[str], made: list[str]) -> None:
    assert torchrun_arguments([*OPTIONS, *given], report=report) == [*OPTIONS, *made]


def test_workers_that_are_no_python_are_refused() -> None:
    with pytest.raises(ValueError, match="--no-python"):
        torchrun_arguments(["--no-python", "job.sh"], report=False)


def test_torchrun_is_known_by_module_and_file() -> None:
    assert is_torchrun("torch.distributed.run", is_module=True)
    assert is_torchrun("/usr/bin/torchrun", is_module=False)
    assert not is_torchrun("torch.distributed.run", is_module=False)
    assert not is_torchrun("job", is_module=True)
