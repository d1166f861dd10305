"""Text, and its conversion to numbers. Nothing here depends on a model.

- `conllu.py`: sentences of CoNLL-U files; `passages.py`: sentences of any text, whole or as it arrives
- `tokenise.py`, `tokenise.json`: the tokeniser, and its patterns, which the browser also uses
- `tokens.py`, `vocabulary.py`: words and characters as numbers; `labels.py`: labels as names
- `batches.py`: sentences of similar length in batches, and a long text in parallel rows
- `source.py`: text sources; `corpora.py`: corpora by name
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use
from hiddenstate.text.tokenise import sentences as sentences
from hiddenstate.text.tokenise import tokenise as tokenise

if TYPE_CHECKING:
    from hiddenstate.text.batches import Batch as Batch
    from hiddenstate.text.batches import Encoded as Encoded
    from hiddenstate.text.batches import Encoder as Encoder
    from hiddenstate.text.batches import Rows as Rows
    from hiddenstate.text.batches import plan_batches as plan_batches
    from hiddenstate.text.batches import spans as spans
    from hiddenstate.text.conllu import Sentence as Sentence
    from hiddenstate.text.conllu import from_words as from_words
    from hiddenstate.text.conllu import parse_conllu as parse_conllu
    from hiddenstate.text.conllu import read_conllu as read_conllu
    from hiddenstate.text.conllu import to_conllu as to_conllu
    from hiddenstate.text.conllu import with_comments as with_comments
    from hiddenstate.text.conllu import with_tags as with_tags
    from hiddenstate.text.corpora import Corpus as Corpus
    from hiddenstate.text.corpora import corpus_path as corpus_path
    from hiddenstate.text.corpora import get as get
    from hiddenstate.text.passages import read_untagged as read_untagged
    from hiddenstate.text.source import read_text as read_text
    from hiddenstate.text.tokens import Tokens as Tokens
    from hiddenstate.text.tokens import learn as learn
    from hiddenstate.text.vocabulary import UNKNOWN as UNKNOWN
    from hiddenstate.text.vocabulary import Vocabulary as Vocabulary

# The public names are imported on first use, because some need torch, but `tokenise` at once: in place of its module.
__getattr__ = on_first_use(
    __name__,
    {
        "Batch": "batches",
        "Corpus": "corpora",
        "Encoded": "batches",
        "Encoder": "batches",
        "Rows": "batches",
        "Sentence": "conllu",
        "Tokens": "tokens",
        "UNKNOWN": "vocabulary",
        "Vocabulary": "vocabulary",
        "corpus_path": "corpora",
        "from_words": "conllu",
        "get": "corpora",
        "learn": "tokens",
        "parse_conllu": "conllu",
        "plan_batches": "batches",
        "read_conllu": "conllu",
        "read_text": "source",
        "read_untagged": "passages",
        "spans": "batches",
        "to_conllu": "conllu",
        "with_comments": "conllu",
        "with_tags": "conllu",
    },
)
