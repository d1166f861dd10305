"""ONNX: LSTMs and models written as files and checked, weights read from files, the operator in torch's exporters.

- `export.py`: `export_onnx`; `attempts.py`: which form of a model is exported
- `check.py`, `runs.py`, `evaluate.py`: runs a file and compares it before it is put in place
- `graph.py`, `lstm.py`, `stack.py`, `functions.py`: builds the graph of an LSTM: of one layer, of all, its functions
- `program.py`, `signature.py`: a model exported by torch; its inputs and outputs
- `symbols.py`: our operator in torch's exporters
- `importer.py`, `node.py`: reads weights from a file
"""
