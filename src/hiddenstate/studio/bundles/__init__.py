"""The data that a studio page receives: a head (JSON) and weights.

- `bundle.py`: `Bundle`; `opening.py`: opens a folder, a model, a layer, a trace or a stream
- `models.py`, `modules.py`, `traces.py`: the bundles of taggers and language models, of layers, of traces
- `captured_inputs.py`: the input that a layer inside a larger model receives
"""
