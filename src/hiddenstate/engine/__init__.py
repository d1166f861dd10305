"""What computes a call: inputs in one form, the choice of a path, the native path, torch's, and the reference.

The engine takes tensors and gives tensors; it knows no module, no trace and no file. Only kernels.py imports the native
module.
"""
