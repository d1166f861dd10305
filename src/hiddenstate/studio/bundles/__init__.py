"""The data that a studio page receives: a head (JSON) and weights.

- `bundle.py`: `Bundle`, and the bundles of traces; `modules.py`: those of layers; `series.py`: those of series
  models
- `opening.py`: opens a folder, a model, a layer, a trace or a stream
"""
