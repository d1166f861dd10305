"""The tagger and the language model. They use the library's public parts: `hiddenstate.LSTM`, traces, streams.

- `tagger/`, `language/`: the two models: architecture, predictions and training
- `folder/`: a model as a folder; `shipped/`: the trained models that come with the package
- `cells.py`: the setting that chooses a model's cells
- `model_file.py`: a model or a layer as one file, which can be read without torch
- `meta_model.py`: a model on the meta device, to determine its size before it is created
- `from_modules.py`, `module_parts.py`: models made from a user's embedding, LSTM and linear layer
- `noise.py`: the kinds of dropout that language models use
- `card_data.py`: shared parts of model cards: the facts about a training run, and the sections written from them
- `training_run.py`: one training run of either model, from its run file to its folder
"""

from hiddenstate.base.later import on_first_use

# The public names, imported on first use, so that settings can be read without torch.
__getattr__, __dir__ = on_first_use(__name__, __file__)
