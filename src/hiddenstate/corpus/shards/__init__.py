"""Shards of a corpus, and the map over them.

- `plan.py`: `plan` cuts files into shards at the ends of sentences
- `hashes.py`: hashes of what each shard reads
- `contents.py`: the sentences or texts of a shard
- `run.py`: `run` maps a task over shards: in this process, in several, or on a Dask cluster
- `worker.py`: one shard in a worker process, from its task to its renamed result
- `processes.py`: worker processes that leave Ctrl-C to their parent
"""
