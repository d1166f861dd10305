"""The tagger, the language model, and series models. They use the public parts: `hiddenstate.LSTM`, traces, streams.

- `tagger/`, `language/`: the two models: architecture, predictions and training
- `cells.py`, `cells.json`: what is known of kinds of cells without torch
- `series/`: any trained module that reads numbers, with the names, dates and units of its columns; a forecaster
- `model_folder.py`: a model as a folder, and its file of weights; `shipped/`: the models inside
- `model_file.py`: a model or a layer as one file, which can be read without torch
- `graph/`: any module around recurrent layers, as a graph of operations in such a file
- `building.py`: creates a model if it fits into memory; kinds of dropout
- `from_modules.py`: models made from a user's embedding, LSTM and linear layer
- `training_run.py`: one training run of any model, from its run file to its folder and its card
"""

from hiddenstate.base.later import on_first_use

# The public names, imported on first use, so that settings can be read without torch.
__getattr__, __dir__ = on_first_use(__name__, __file__)
