"""Whole corpora: maps over shards of a corpus, on one machine or many, whose results merge.

- `shards/`: cuts files into shards, and runs a task on every shard: resumable, atomic, in one process or many
- `tagging.py`, `scoring.py`: the tasks that tag and score a corpus
- `index/`: the index of a corpus: statistics, contexts, tokens, and what is needed to run any part of it again
- `search/`: exact search over an index
- `units/`: what every unit does: a table of all, a card of one
- `opened.py`: `index`, `open_index`, and what they return, `Index`
- `answers.py`: what an index answers to pages of the studio
- `pieces.py`: texts cut into pieces for a language model
- `tables.py`: Parquet files of ours; the fingerprint of a model
"""
