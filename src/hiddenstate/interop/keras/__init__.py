"""Keras: weights read from layers, models and files; Keras itself is not needed to read its files."""
