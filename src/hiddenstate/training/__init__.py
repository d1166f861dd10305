"""The training loop for all tasks. Nothing here depends on a model; `models` creates the tasks.

- `task.py`: `Task`, the interface of a training task
- `loop.py`: the loop; `schedule.py`, `stop.py`, `average.py`: learning rates, when to stop, averaged weights
- `settings.py`, `config.py`, `run_file.py`: settings, read from files and validated
- `checkpoint.py`: everything that resuming needs; `lock.py`: allows one run per folder at a time
- `machine.py`: one process or several, CPU or GPU
- `progress.py`, `plot.py`: progress reports and curves of a run
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.training.checkpoint import RunFolder as RunFolder
    from hiddenstate.training.config import TrainConfig as TrainConfig
    from hiddenstate.training.loop import fit as fit
    from hiddenstate.training.machine import detect_machine as detect_machine
    from hiddenstate.training.plot import plot_run as plot_run
    from hiddenstate.training.progress import Epoch as Epoch
    from hiddenstate.training.progress import Result as Result
    from hiddenstate.training.progress import Score as Score
    from hiddenstate.training.progress import Step as Step
    from hiddenstate.training.run_file import RunFile as RunFile
    from hiddenstate.training.run_file import read_run_file as read_run_file
    from hiddenstate.training.task import Loss as Loss
    from hiddenstate.training.task import Task as Task
    from hiddenstate.training.task import split as split

# The public names, imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "Epoch": "progress",
        "Loss": "task",
        "Result": "progress",
        "RunFile": "run_file",
        "RunFolder": "checkpoint",
        "Score": "progress",
        "Step": "progress",
        "Task": "task",
        "TrainConfig": "config",
        "detect_machine": "machine",
        "fit": "loop",
        "plot_run": "plot",
        "read_run_file": "run_file",
        "split": "task",
    },
)
