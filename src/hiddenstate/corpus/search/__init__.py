"""Exact search over an index.

- `grammar.py`: the grammar of queries, and their parsed form
- `conditions.py`: the steps of a shard at which a condition holds, from bits or by rerunning the corpus
- `find.py`: `search`: spans that match a query, ranked, with their base rates
- `nearest.py`: `like`: finds the states of a corpus that are nearest to a given one
- `result.py`: their results
"""
