"""A hash of a module's weights, by which files record which weights they belong to."""

import hashlib

import torch
from torch import nn


def fingerprint(module: nn.Module) -> str:
    """Return a hash of a module's weights, with their names, types and shapes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(array.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
