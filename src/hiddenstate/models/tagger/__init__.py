"""The tagger: a distribution over tags for each word of a sentence.

- `tagger.py`: the public class `Tagger`; `tagging.py`: its results, streams of sentences, words' inputs computed once
- `config.py`: its settings, and what else describes it besides its weights
- `context_vectors.py`: vectors of words in context from two character language models
- `decoding.py`: turns scores into tags and into the loss, with or without a CRF
- `training.py`: the training task and the model card; `syllabus.py`: the examples that it learns from
- `accuracy.py`: measures its accuracy and calibration
"""
