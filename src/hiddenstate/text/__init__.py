"""Text, and its conversion to numbers. Nothing here depends on a model.

- `conllu.py`: sentences of CoNLL-U files; `passages.py`: sentences of any text, whole or as it arrives
- `tokenise.py`, `tokenise.json`: the tokeniser, and its patterns, which the browser also uses
- `tokens.py`, `vocabulary.py`: words and characters as numbers; `labels.py`: labels as names
- `batches.py`: sentences of similar length in batches, and a long text in parallel rows
- `source.py`: text sources; `corpora.py`: corpora by name
"""

from hiddenstate.base.later import on_first_use
from hiddenstate.text.tokenise import sentences as sentences
from hiddenstate.text.tokenise import tokenise as tokenise

# The public names are imported on first use, because some need torch, but `tokenise` at once: in place of its module.
__getattr__, __dir__ = on_first_use(__name__, __file__)
