"""The paths of a call: each computes the calls that it can, and returns the reason for those that it can't.

- `fast.py`: a shortcut for plain calls, tried before dispatch
- `native_path.py`: runs the native engine, on weights in one of four forms
- `operator.py`: the native call as one operator, for torch.compile
- `packed.py`: single steps of all layers on packed weights, for streams
- `torch_path.py`: torch's own kernels
"""
