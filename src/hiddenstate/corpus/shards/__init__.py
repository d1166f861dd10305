"""Shards of a corpus, and the map over them.

- `plan.py`: `plan` cuts files into shards at the ends of sentences, and hashes what each shard reads
- `contents.py`: the sentences, texts or pieces of texts of a shard; our own Parquet files
- `run.py`: `run` maps a task over shards: in this process, in several, or on a Dask cluster
- `workers.py`: worker processes that leave Ctrl-C to their parent; calls whose results come in order
"""
