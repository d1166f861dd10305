"""Small language models for tests."""

import io
from dataclasses import replace
from typing import Any

import torch

from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.text.tokens import Tokens, learn

TEXT = "the cat sat on the mat .\nthe dog saw the cat .\n\nso it goes , é and 戦 .\n" * 3
SMALL = LanguageConfig(embedding_size=5, hidden_size=7, num_layers=2, weights_dtype="float32")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "word": {"level": "word"},
    "tied": {"tied": True},
    "tied, same size": {"tied": True, "embedding_size": 7},
    "adaptive": {"level": "word", "cutoffs": (3, 8), "cutoff_factor": 2.0},
    "adaptive, tied": {"level": "word", "cutoffs": (3, 8), "cutoff_factor": 2.0, "tied": True},
}


def tokens_of(level: str) -> Tokens:
    return learn(io.BytesIO(TEXT.encode()), level)[0]


def make(seed: int = 0, **settings: Any) -> LanguageModel:
    """A model with fresh weights, large enough that its predictions differ from each other."""
    torch.manual_seed(seed)
    config = replace(SMALL, **settings)
    model = LanguageModel(config, tokens_of(config.level))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval()
