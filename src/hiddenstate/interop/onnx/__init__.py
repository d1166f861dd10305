"""ONNX: LSTMs and models written as files and checked, weights read from files, the operator in torch's exporters."""
