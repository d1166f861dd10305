"""A model as a folder of files.

- `model_folder.py`: saves and loads any model
- `weights_file.py`: weights in safetensors, checked on reading
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.models.folder.model_folder import load as load
    from hiddenstate.models.folder.model_folder import load_any as load_any
    from hiddenstate.models.folder.model_folder import load_language_model as load_language_model
    from hiddenstate.models.folder.model_folder import load_saved as load_saved
    from hiddenstate.models.folder.model_folder import save as save
    from hiddenstate.models.folder.model_folder import shipped as shipped

# Imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "load": "model_folder",
        "load_any": "model_folder",
        "load_language_model": "model_folder",
        "load_saved": "model_folder",
        "save": "model_folder",
        "shipped": "model_folder",
    },
)
