"""The tagger: a distribution over tags for each word of a sentence.

- `tagger.py`: the public class `Tagger`; `tagging.py`: its result for a sentence;
  `piping.py`: tags a stream of sentences; `word_inputs.py`: each distinct word's input, computed once
- `config.py`, `data.py`, `card.py`: its settings; its folder's data as JSON; its model card
- `context_vectors.py`: vectors of words in context from two character language models
- `crf.py`, `decoding.py`: scores of tag sequences; turns scores into tags
- `training.py`: the training task; `lessons/`: the examples that it learns from
- `evaluation/`: measures its accuracy
"""
