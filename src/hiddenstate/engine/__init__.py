"""Computes a call: tensors in, tensors out. It depends on no module, trace or file.

- `call.py`: `Call`, the canonical description of a call, and `Result`; `record.py`: what to record of it
- `inputs.py`: reads the arguments of a call: checks them and brings them into one form; `border_states.py`: the states
  after resets, in one form
- `dispatch.py`: decides which path computes: the first of `PATHS` whose conditions return no reason against the call
- `interception.py`: whether torch (vmap, tracing, a mode) must see each operation, so that native code cannot run
- `reference.py`: runs a cell over a sequence in plain torch; all other paths are tested against it; `observer.py` edits
  and records its values; `reference_path.py` runs calls on it
- `kernels.py`: the native module's functions by type, and the instruction set that runs
- `native.py`: a call computed natively, without a graph; `derivative.py`: the autograd Function around it;
  `native_path.py`: the paths that use them; `operator.py`: the native call as one operator, for torch.compile
- `cell_steps.py`: a step of a cell, native and differentiable
- `fast.py`: a shortcut for plain calls, tried before dispatch
- `torch_path.py`, `autocast.py`: torch's own LSTM; calls under autocast
- `int8.py`, `int8_path.py`: int8 weights: their quantisation and reading; the path that uses them
- `packed.py`: single steps of all layers on packed weights; `flat_weights.py`: the weights in one block of memory, for
cuDNN
- `dropout.py`: dropout masks with the same random draws as torch
"""
