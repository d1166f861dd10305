"""The language model: predicts the next token from all previous ones.

- `language_model.py`: the public class `LanguageModel`, which also generates text, and its softmax; `sampling.py`:
  chooses a token
- `config.py`, `training.py`: its settings; its training task and model card
- `scoring.py`: the surprise of each token of a text, and its sum
"""
