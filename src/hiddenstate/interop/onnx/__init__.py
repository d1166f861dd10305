"""ONNX: exports layers and models to checked files, reads weights from files, and supports torch's exporters.

- `export.py`: `export_onnx`; `attempts.py`: chooses the form in which a model is exported
- `check.py`, `runs.py`: runs a file and compares its outputs before it is kept
- `lstm.py`: builds the graph of an LSTM, a GRU or a plain RNN; `graph.py`, `evaluate.py`: constants in a graph;
  `functions.py`: inlines functions; `stack.py`: groups nodes into layers of one module
- `program.py`, `signature.py`: a model exported by torch; its inputs and outputs
- `symbols.py`: our operator in torch's exporters
- `importer.py`, `node.py`: reads weights from a file
"""
