"""What is known of kinds of cells without torch: for the command line's help, graphs and hiddenstate_runtime."""

import json
from pathlib import Path
from typing import Any

# Each kind by name, as `cells/` describes it; build_backend/page_facts.py writes the file (make facts).
CELLS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("cells.json").read_bytes())
# The kinds of cells by the value of the setting that chooses a model's; the first is the default.
CELL_NAMES: dict[str, str] = {cell["setting"]: name for name, cell in CELLS.items()}


def cell_setting(cell: str) -> str:
    """Return the setting's value for a kind of cell, such as ``"RNN_TANH"``."""
    return str(CELLS[cell]["setting"])
