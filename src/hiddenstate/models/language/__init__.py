"""The language model: what comes next, given all that came before.

- `language_model.py`: the public class `LanguageModel`; `softmax.py`: from hidden states to probabilities
- `config.py`, `card.py`, `training.py`: its settings, its model card, its training task
- `generation.py`: writes text; `scoring.py`: how unexpected each token of a text is
- `perplexity.py`: how unexpected a text is on average
"""

from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.generation import Sampling
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.perplexity import Tally, measure
from hiddenstate.models.language.scoring import Dynamic, Scored, score

__all__ = ["Dynamic", "LanguageConfig", "LanguageModel", "Sampling", "Scored", "Tally", "measure", "score"]
