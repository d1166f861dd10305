"""Keras: weights read from layers, models and files. Keras itself is not needed to read its files.

- `importer.py`, `config.py`: `from_keras`; a layer's settings
- `file.py`: what a file holds; `texts.py` checks HDF5's texts first, and `hdf5.py` has HDF5 read by a separate process,
  which runs `hdf5_process.py`, since a damaged file can crash it
"""
