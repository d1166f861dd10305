"""The paths of a call: what each can compute, with the reason when it cannot.

- `path.py`: what a path is, and how one is chosen
- `fast.py`: a shortcut for plain calls, tried before dispatch
- `native_path.py`: the native engine, whole or layer by layer; `int8_path.py`: on int8 weights;
  `autocast.py`: in bfloat16
- `operator.py`: the native call as one operator, for torch.compile
- `packed.py`: single steps of all layers on packed weights, for streams
- `torch_path.py`: torch's own kernels; `reference_path.py`: plain torch
"""
