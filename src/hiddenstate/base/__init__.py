"""What every room shares. Nothing here knows what an LSTM is.

- `scoped.py`: context-local values that are active inside a block: edits, the choice of a path
- `messages.py`: formats values for messages, shortened
- `validation.py`: checks shared by all public classes; optional packages
- `files.py`: writes to a temporary file, then renames it, so that no file is half-written
- `reading.py`: every file is read inside `reading`: errors of parsers become ours, with the file's name
- `writing.py`: every file is written inside `writing`: errors of the system become ours, with the file's name
- `modes.py`: a module in eval mode for a block
- `later.py`: names of a package that are imported on first use
- `indexing.py`: turns an int, a slice or a list into indices of steps, units or rows
- `figures.py`: figures without pyplot
- `forks.py`: what a forked process does first
"""
