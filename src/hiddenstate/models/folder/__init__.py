"""A model as a folder of files.

- `model_folder.py`: saves and loads any model
- `weights_file.py`: weights in safetensors, checked on reading
"""
