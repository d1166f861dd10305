"""The one training loop for any task: settings, checkpoints, schedules, progress, several processes.

Nothing here knows a model; what is trained is a `training.task.Task`, which `models` makes.
"""
