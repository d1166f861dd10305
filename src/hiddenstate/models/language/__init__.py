"""The language model: predicts the next token from all previous ones.

- `language_model.py`: the public class `LanguageModel`, which also generates text; `sampling.py`: chooses a token
- `softmax.py`: turns hidden states into probabilities
- `config.py`, `training.py`: its settings; its training task and model card
- `scoring.py`: the surprise of each token of a text, and its sum
"""
