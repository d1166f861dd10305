"""The tagger and the language model. They use the library as any user would: `hiddenstate.LSTM`, traces, streams.

- `tagger/`, `language/`: the two models: what they are, what they say, how they are trained
- `folder/`: a model as a folder; `shipped/`: the trained models that come with the package
- `meta_model.py`: a model without memory, to know its size before it is made
- `from_modules.py`, `module_parts.py`: models made of a user's embedding, LSTM and linear layer
- `noise.py`: dropout as language models use it
- `card_data.py`: what a model card says about a training run
- `training_run.py`: one training run of either model, from its run file to its folder
"""
