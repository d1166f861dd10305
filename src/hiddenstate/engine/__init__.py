"""Computes the calls of layers and cells on tensors. It does not depend on modules, traces or files.

- `call.py`: `Call`, the canonical description of a call, and `Result`; `record.py`: what to record of it
- `inputs.py`: checks the arguments of a call and converts them to one form; `border_states.py`: does so for the states
  after resets
- `dispatch.py`: chooses the path: the tables of paths for a call, a stream's steps and a cell's step, and their
  conditions
- `paths/`: a file for each path
- `cell_steps.py`: computes a cell's step, natively and differentiably
- `interception.py`: whether torch (vmap, tracing, a mode) must see each operation, so that native code cannot run
- `reference.py`: runs a cell over a sequence in plain torch, and is what all other paths are tested against;
  `observer.py` edits and records its values
- `kernels.py`: the native module's functions by type, and the instruction set that runs
- `native.py`: a call computed natively, without a graph; `derivative.py`: the autograd Function around it
- `int8.py`: quantises weights to int8, and reads them
- `flat_weights.py`: the weights in one block of memory, for cuDNN
- `dropout.py`: dropout masks with the same random draws as torch
"""
