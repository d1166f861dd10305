"""Code that all packages share. None of it depends on LSTMs.

- `scoped.py`: settings in force inside a `with` block, such as edits or the choice of a path
- `native_module.py`: imports the native module, if there is one, and the blocks of `native/python/block.h`, which are
  also here in Python, for machines without it
- `torch_internals.py`: torch's private functions, and whether torch (vmap, tracing, a mode) must see each operation
- `scalars.py`: checks of single arguments: integers, bools, seeds
- `memory.py`: checks that tensors still have their memory; a base class for modules that check their own tensors
- `messages.py`: formats values for messages, shortened
- `validation.py`: checks shared by all public classes; optional packages
- `files.py`: writes to a temporary file, then renames it, so that no file is half-written; `writing`, inside which
  every file is written: turns system errors into ours, with the file's name
- `reading.py`: `reading`, inside which every file is read: turns parsers' errors into ours, with the file's name
- `modes.py`: puts a module in eval mode for a block, or makes a twin in eval mode that shares its weights
- `later.py`: names and functions that are imported on first use; functions that higher packages register
- `indexing.py`: turns an int, a slice or a list into indices of steps, units or rows
- `figures.py`: draws figures without pyplot
- `forks.py`: functions that a forked process runs first; locks that are free in a forked process
"""
