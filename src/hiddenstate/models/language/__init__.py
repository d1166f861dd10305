"""The language model: predicts the next token from all previous ones.

- `language_model.py`: the public class `LanguageModel`; `softmax.py`: turns hidden states into probabilities
- `config.py`, `card.py`, `training.py`: its settings, its model card, its training task
- `generation.py`: generates text; `sampling.py`: chooses the next token
- `scoring.py`: the surprise of each token of a text
- `perplexity.py`: the mean surprise and perplexity of a text
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.models.language.config import LanguageConfig as LanguageConfig
    from hiddenstate.models.language.language_model import LanguageModel as LanguageModel
    from hiddenstate.models.language.perplexity import Tally as Tally
    from hiddenstate.models.language.perplexity import measure as measure
    from hiddenstate.models.language.sampling import Sampling as Sampling
    from hiddenstate.models.language.scoring import Dynamic as Dynamic
    from hiddenstate.models.language.scoring import Scored as Scored
    from hiddenstate.models.language.scoring import score as score

# Imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "Dynamic": "scoring",
        "LanguageConfig": "config",
        "LanguageModel": "language_model",
        "Sampling": "sampling",
        "Scored": "scoring",
        "Tally": "perplexity",
        "measure": "perplexity",
        "score": "scoring",
    },
)
