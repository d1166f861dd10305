"""Text as it comes and as numbers: CoNLL-U, plain text, corpora by name, vocabularies, batches, a tokeniser.

Nothing here knows a model. The patterns of the tokeniser stand in tokenise.json, which the browser reads too.
"""
