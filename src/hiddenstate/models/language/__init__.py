"""The language model: predicts the next token from all previous ones.

- `language_model.py`: the public class `LanguageModel`; `softmax.py`: turns hidden states into probabilities
- `config.py`, `card.py`, `training.py`: its settings, its model card, its training task
- `generation.py`: generates text; `scoring.py`: the surprise of each token of a text
- `perplexity.py`: the mean surprise and perplexity of a text
"""

from hiddenstate.models.language.config import LanguageConfig
from hiddenstate.models.language.generation import Sampling
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.language.perplexity import Tally, measure
from hiddenstate.models.language.scoring import Dynamic, Scored, score

__all__ = ["Dynamic", "LanguageConfig", "LanguageModel", "Sampling", "Scored", "Tally", "measure", "score"]
