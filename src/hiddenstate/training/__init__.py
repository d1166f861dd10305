"""The one training loop for any task. Nothing here knows a model: `models` makes the task.

- `task.py`: `Task`, the interface of what is trained
- `loop.py`: the loop; `schedule.py`, `stop.py`, `average.py`: learning rates, when to stop, averaged weights
- `settings.py`, `config.py`, `run_file.py`: settings, read from files and checked
- `checkpoint.py`: everything that a resumed run needs; `lock.py`: one run in a folder at a time
- `machine.py`: one process or several, CPU or GPU
- `progress.py`, `plot.py`: progress reports of a run; its curves
"""
