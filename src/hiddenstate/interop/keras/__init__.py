"""Reads weights from Keras layers, models and files. Keras itself is not needed to read its files.

- `importer.py`: `from_keras`; a layer's settings
- `file.py`: the contents of a file, read in separate processes, which run `hdf5_process.py`, because a damaged file can
  crash HDF5
"""
