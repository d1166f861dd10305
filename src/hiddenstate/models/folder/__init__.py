"""A model as a folder of files.

- `model_folder.py`: saves and loads any model
- `weights_file.py`: weights in safetensors, checked on reading
"""

from hiddenstate.models.folder.model_folder import load, load_any, load_language_model, save, shipped

__all__ = ["load", "load_any", "load_language_model", "save", "shipped"]
