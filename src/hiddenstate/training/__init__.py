"""The training loop for all tasks. Nothing here depends on a model; `models` creates the tasks.

- `task.py`: `Task`, the interface of a training task, and the progress reports of a run
- `loop.py`: the loop, with learning rates, averaged weights, and stopping on request
- `settings.py`: settings, read from files and validated
- `checkpoint.py`: everything that resuming needs, in a folder for one run at a time
- `plot.py`: curves of a run
"""

from hiddenstate.base.later import on_first_use

# The public names, imported on first use, so that settings can be read without torch.
__getattr__, __dir__ = on_first_use(__name__, __file__)
