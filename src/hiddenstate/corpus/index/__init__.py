"""The index of a corpus: the behaviour of every unit over it, without storing its states.

- `items.py`: a sequence of a corpus, and the protocol of readers of sequences
- `readers.py`: readers of taggers, language models, and layers over arrays
- `statistics.py`: statistics of the units of one place, which merge associatively
- `sums.py`: exact sums, which do not depend on the order
- `bits.py`: the steps at which units exceed a threshold, as bits
- `build.py`: the task that indexes one shard
- `folder.py`: an index in its folder: its statistics, tokens and bits; reruns any part of the corpus
"""
