"""The fingerprint of a model, by which results are recognised as those of the same model."""

import hashlib
import json

import torch
from torch import nn

from hiddenstate.models.folder.model_folder import float_weights
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.tagger.tagger import Tagger


def fingerprint(model: nn.Module) -> str:
    """Return a hash of what a model's results depend on.

    These are a module's weights, with their names, types and shapes; and for a tagger or a language model also the
    config and the vocabulary. The weights of those are compared as float32, in which they are loaded, whatever the type
    in which they are stored.
    """
    hasher, weights = hashlib.blake2b(digest_size=16), model.state_dict()
    if isinstance(model, Tagger | LanguageModel):
        config, vocabulary = model.to_data()
        described = [model.kind, {**config, "weights_dtype": ""}, vocabulary]
        hasher.update(json.dumps(described, sort_keys=True).encode())
        weights = {name: value.float() for name, value in float_weights(model).items()}
    for name, value in sorted(weights.items()):
        array = value.detach().cpu().contiguous()
        hasher.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        hasher.update(array.flatten().view(torch.uint8).numpy())
    return hasher.hexdigest()
