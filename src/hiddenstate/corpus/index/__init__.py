"""The index of a corpus: the behaviour of every unit over it, without storing its states.

A reader turns a shard of the corpus into sequences and runs the model on them; the task of the shard collects what the
units do; the folder answers from what was collected, and reruns any part of the corpus.

- `sequences.py`: a sequence of a corpus and its contexts, the base class of readers, random draws
- `readers.py`: how a tagger, a language model, a layer or a series model reads a corpus; the fingerprint of a model
- `series_reader.py`: the parts of a frame, and its columns
- `build.py`: runs sequences, and the task that indexes one shard
- `statistics.py`: statistics of the units of one place, which are merged in the order of the shards
- `lagged.py`: covariates of a series, and their sums with units by lag
- `folder.py`: an index in its folder: its statistics, tokens and bits
"""
