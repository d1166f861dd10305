"""The subject of an explanation: `subject` turns an LSTM, a module or a shipped model with a text into a `Subject`.

- `sources.py`: `subject`, of layers, modules, taggers and language models
- `subject.py`: `Subject`: the LSTM, its input, its words and its head; runs it on many rows, which gives `Outputs`;
  `WholeModule`: runs a module as a whole on many rows of its own input
- `head.py`: `Head`: computes logits and log-probabilities from outputs, with labels
- `module_output.py`: finds a module's head; `ModuleOutput`: whether the module returns what it gives
- `target.py`: `Target`, one number of a run; `logit` and the other ways to name one; runs many rows for one target
- `series.py`: `ExplainedSeries`: rows of numbers with names and dates, and their targets; `output`
- `series_sources.py`: opens series models, modules and layers as an `ExplainedSeries`; finds a module's axis of rows
- `progress_bar.py`: a bar that appears after one second
"""
