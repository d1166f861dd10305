"""Code that every room shares. It does not depend on what an LSTM is.

- `scoped.py`: settings in force inside a `with` block, such as edits or the choice of a path
- `native_module.py`: imports the native module, if there is one; `plain_blocks.py`: the blocks of
  `native/python/block.h` in Python, for machines without it
- `scalars.py`: checks of single arguments: integers, bools, seeds
- `memory.py`: checks that tensors still have their memory; a base class for modules that check their own tensors
- `messages.py`: formats values for messages, shortened
- `validation.py`: checks shared by all public classes; optional packages
- `files.py`: writes to a temporary file, then renames it, so that no file is half-written
- `reading.py`: every file is read inside `reading`: errors of parsers become ours, with the file's name
- `writing.py`: every file is written inside `writing`: errors of the system become ours, with the file's name
- `modes.py`: a module in eval mode: for a block, or as a twin that shares its weights
- `later.py`: names and functions that are imported on first use; functions that higher rooms give lower ones
- `indexing.py`: turns an int, a slice or a list into indices of steps, units or rows
- `figures.py`: figures without pyplot
- `forks.py`: functions that run first in a forked process; locks that are never held in one
"""
