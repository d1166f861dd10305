"""Hashes of what an index depends on: models and sequences."""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor, nn

from hiddenstate.corpus.index.sequences import CorpusItem
from hiddenstate.corpus.shards.plan import hash_bytes
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.model_folder import float_weights
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.packed_weights import fingerprint, hash_weights, new_hash
from hiddenstate.nn.recurrent import Recurrent


def hash_items(items: Sequence[CorpusItem], *arrays: Any) -> str:
    """Return the hash of sequences, and of arrays beside them."""
    parts = ((repr((item.tokens, item.labels)).encode(), np.ascontiguousarray(item.data)) for item in items)
    return hash_bytes(chain(chain.from_iterable(parts), map(np.ascontiguousarray, arrays)))


def model_fingerprint(model: nn.Module) -> str:
    """Return a hash of what a model's results depend on.

    These are its weights, with their names, types and shapes; and for a model with a folder also the config and the
    vocabulary. The weights of those are compared as float32, in which they are loaded, whatever the type
    in which they are stored.
    """
    if isinstance(model, Recurrent):
        return fingerprint(model._named_weights())
    if not isinstance(model, Tagger | LanguageModel | StoredSeries):
        return fingerprint({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})
    config, vocabulary = model.to_data()
    hasher = new_hash()
    hasher.update(json.dumps([model.kind, {**config, "weights_dtype": ""}, vocabulary], sort_keys=True).encode())
    hash_weights(hasher, {name: value.float() for name, value in float_weights(model).items()})
    return str(hasher.hexdigest())
