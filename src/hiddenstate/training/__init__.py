"""The training loop for all tasks. Nothing here depends on a model; `models` creates the tasks.

- `task.py`: `Task`, the interface of a training task, and the progress reports of a run
- `loop.py`: the loop, with learning rates, averaged weights, and stopping on request
- `settings.py`: settings, read from files and validated
- `checkpoint.py`: everything that resuming needs; `lock.py`: allows one run per folder at a time
- `machine.py`: one process or several, CPU or GPU; `plot.py`: curves of a run
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.training.checkpoint import RunFolder as RunFolder
    from hiddenstate.training.loop import fit as fit
    from hiddenstate.training.machine import detect_machine as detect_machine
    from hiddenstate.training.plot import plot_run as plot_run
    from hiddenstate.training.settings import RunFile as RunFile
    from hiddenstate.training.settings import TrainConfig as TrainConfig
    from hiddenstate.training.settings import read_run_file as read_run_file
    from hiddenstate.training.task import Epoch as Epoch
    from hiddenstate.training.task import Loss as Loss
    from hiddenstate.training.task import Result as Result
    from hiddenstate.training.task import Score as Score
    from hiddenstate.training.task import Step as Step
    from hiddenstate.training.task import Task as Task
    from hiddenstate.training.task import split as split

# The public names, imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "Epoch": "task",
        "Loss": "task",
        "Result": "task",
        "RunFile": "settings",
        "RunFolder": "checkpoint",
        "Score": "task",
        "Step": "task",
        "Task": "task",
        "TrainConfig": "settings",
        "detect_machine": "machine",
        "fit": "loop",
        "plot_run": "plot",
        "read_run_file": "settings",
        "split": "task",
    },
)
