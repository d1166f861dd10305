"""Exact search over an index.

- `grammar.py`: the grammar of queries, and their parsed form
- `find.py`: `search`: spans that match a query, ranked, with their base rates; `like`: the nearest states of a corpus
- `result.py`: their results
"""
