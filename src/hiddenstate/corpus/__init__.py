"""Processes whole corpora: maps tasks over the shards of a corpus, on one machine or many, and merges the results.

- `shards/`: cuts files into shards, and runs a task on every shard: resumable, atomic, in one process or many
- `tasks.py`: the tasks that tag and score a corpus
- `index/`: the index of a corpus: statistics, contexts, tokens, and the data needed to rerun any part of it
- `search/`: exact search over an index
- `units/`: descriptions of units: a table of all units, and a card for one
- `opened.py`: `index` and `open_index`, which return an `Index`
- `answers.py`: an index's answers to pages of the studio
"""
