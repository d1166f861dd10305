"""The tagger: a distribution over tags for each word of a sentence.

- `tagger.py`: the public class `Tagger`; `tagging.py`: its result for a sentence;
  `piping.py`: tags a stream of sentences; `word_inputs.py`: each distinct word's input, computed once
- `config.py`, `data.py`, `card.py`: its settings; its folder's data as JSON; its model card
- `context_vectors.py`: vectors of words in context from two character language models
- `crf.py`, `decoding.py`: scores of tag sequences; turns scores into tags
- `training.py`: the training task; `lessons/`: the examples that it learns from
- `evaluation/`: measures its accuracy
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.models.tagger.config import TaggerConfig as TaggerConfig
    from hiddenstate.models.tagger.context_vectors import ContextualVectors as ContextualVectors
    from hiddenstate.models.tagger.tagger import Tagger as Tagger
    from hiddenstate.models.tagger.tagging import Guess as Guess
    from hiddenstate.models.tagger.tagging import Reading as Reading
    from hiddenstate.models.tagger.tagging import Tagging as Tagging
    from hiddenstate.models.tagger.tagging import Tags as Tags

# Imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "ContextualVectors": "context_vectors",
        "Guess": "tagging",
        "Reading": "tagging",
        "Tagger": "tagger",
        "TaggerConfig": "config",
        "Tagging": "tagging",
        "Tags": "tagging",
    },
)
