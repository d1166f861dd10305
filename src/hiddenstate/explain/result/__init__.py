"""The base class of results, and code that shows them.

- `explanation.py`: `Explanation`, the base class of results: tables, files, pictures; `Measured`, for no sum rule
- `terminal.py`: bars and tables for terminals
- `pictures.py`: bars and heat maps; `series_pictures.py`: heat maps of a series, with sums on the margins
"""
