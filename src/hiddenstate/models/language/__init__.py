"""The language model: predicts the next token from all previous ones.

- `language_model.py`: the public class `LanguageModel`; `softmax.py`: turns hidden states into probabilities
- `config.py`, `training.py`: its settings; its training task and model card
- `generation.py`: generates text; `sampling.py`: chooses the next token
- `scoring.py`: the surprise of each token of a text, and its sum
"""
