"""Exact search over an index.

- `grammar.py`: the grammar of queries, and their parsed form
- `conditions.py`: the steps of a shard at which a condition holds, from bits or by running the corpus again
- `find.py`: `search`: spans that match a query, ranked, with their base rates
- `nearest.py`: `like`: the states of a corpus nearest to one
- `result.py`: their results
"""
