"""Hashes of weights, by which files record which weights they belong to."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of weights, with their names, types and shapes."""
    hasher = new_hash()
    hash_weights(hasher, weights)
    return str(hasher.hexdigest())


def new_hash() -> Any:
    """Return a hash of nothing yet, of the kind that fingerprints are."""
    return hashlib.blake2b(digest_size=16)


def hash_weights(hasher: Any, weights: Mapping[str, Tensor]) -> None:
    """Add weights to a hash, with their names, types and shapes."""
    for name, value in sorted(weights.items()):
        array = value.detach().cpu().contiguous()
        hasher.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        hasher.update(array.flatten().view(torch.uint8).numpy())
