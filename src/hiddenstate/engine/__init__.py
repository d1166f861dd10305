"""Computes the calls of layers and cells on tensors. It does not depend on modules, traces or files.

- `call.py`: `Call`, the canonical description of a call, what to record of it, and `CallResult`
- `inputs.py`: checks the arguments of a call and converts them to one form
- `dispatch.py`: chooses the path of a call, of a stream's steps and of a cell's step
- `paths/`: a file for each path
- `cell_steps.py`: computes a cell's step, natively and differentiably
- `reference.py`: runs a cell over a sequence in plain torch, with an observer that edits and records its values; all
  other paths are tested against it
- `kernels.py`: the native module's functions by type, and the instruction set that runs
- `native.py`: a call computed natively, without a graph; `derivative.py`: the autograd Function around it
- `weights.py`: a layer's weights: checked, quantised to int8
- `dropout.py`: dropout masks with the same random draws as torch
"""
