"""Computes a call: tensors in, tensors out. It depends on no module, trace or file.

- `call.py`: `Call`, the canonical description of a call, and `Result`; `record.py`: what to record of it
- `inputs.py`: reads the arguments of a call: checks them and brings them into one form; `border_states.py`: the states
  after resets, in one form
- `dispatch.py`: decides which path computes: the tables of paths for a call, a stream's steps and a cell's step, and
  their conditions
- `paths/`: a file for each path
- `cell_steps.py`: a step of a cell, native and differentiable
- `interception.py`: whether torch (vmap, tracing, a mode) must see each operation, so that native code cannot run
- `reference.py`: runs a cell over a sequence in plain torch; all other paths are tested against it; `observer.py` edits
  and records its values
- `kernels.py`: the native module's functions by type, and the instruction set that runs
- `native.py`: a call computed natively, without a graph; `derivative.py`: the autograd Function around it
- `int8.py`: int8 weights: their quantisation and reading
- `flat_weights.py`: the weights in one block of memory, for cuDNN
- `dropout.py`: dropout masks with the same random draws as torch
"""
