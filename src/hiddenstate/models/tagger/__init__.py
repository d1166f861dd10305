"""The tagger: a distribution over tags for each word of a sentence.

- `tagger.py`: the public class `Tagger`; `tagging.py`: its result for a sentence;
  `piping.py`: tags a stream of sentences
- `config.py`, `data.py`, `card.py`: its settings; its folder's data as JSON; its model card
- `context_vectors.py`: vectors of words in context from two character language models
- `crf.py`, `decoding.py`: scores of tag sequences; turns scores into tags
- `training.py`: the training task; `losses.py`, `batch_plan.py`, `variants.py`: the loss, the sentences of each epoch,
  altered sentences; `teachers.py`, `warm_start.py`: teachers for distillation, a tagger to start from
- `evaluation/`: how well it tags
"""

from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.context_vectors import ContextualVectors
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.models.tagger.tagging import Guess, Reading, Tagging, Tags

__all__ = ["ContextualVectors", "Guess", "Reading", "Tagger", "TaggerConfig", "Tagging", "Tags"]
