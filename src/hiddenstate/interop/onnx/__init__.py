"""ONNX: exports layers and models to checked files, reads weights from files, and supports torch's exporters.

- `export.py`: `export_onnx`, which exports a model by torch in the best form; `lstm.py`: a layer as ONNX's operator, as
  a whole model or for torch's exporters
- `step.py`: one step of a whole module, with its states as inputs and outputs
- `check.py`: runs a file and compares its outputs before it is kept
- `importer.py`, `node.py`, `graph.py`: reads weights from a file: its nodes, the constants in its graph
"""
