"""Writes what the studio's page and code without torch repeat of Python: ``python build_backend/page_facts.py``.

The package is built where torch is not installed, so ``web/facts.ts`` and ``models/cells.json`` are kept with the
sources; a test compares them.
"""

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from hiddenstate.base.reading import LARGEST_HEADER
from hiddenstate.cells.cell import TINY, Cell
from hiddenstate.cells.kinds import CELLS
from hiddenstate.corpus.answers import MOST_PASSAGE_STEPS, MOST_PASSAGES
from hiddenstate.edits.edit import Kind, Scope
from hiddenstate.engine.weights import FEWEST_UNITS, MOST, MOST_COLUMNS
from hiddenstate.explain.attribution.result import LARGE, NOTHING, OPPOSED
from hiddenstate.explain.dynamics.run import OPEN, SHUT
from hiddenstate.explain.ledger.cell import HELD
from hiddenstate.models import model_file
from hiddenstate.models.graph import graph
from hiddenstate.studio.bundles import bundle
from hiddenstate.studio.messages import MOST_CHARACTERS, MOST_ITEMS, TYPES, VIEW

FACTS = Path(__file__).resolve().parents[1] / "web" / "facts.ts"
KINDS = Path(model_file.__file__).with_name("cells.json")
WIDTH = 120
HEAD = "// Facts that Python owns; written by build_backend/page_facts.py (make facts).\n"
# The kinds of edits that the page has.
EDIT_KINDS = [kind for kind in get_args(Kind) if kind != "clamp"]


def cell_facts(cell: Cell) -> dict[str, Any]:
    """Return what the page needs to know of a kind of cell, with the names of the page's CellKind."""
    return {
        "name": cell.name,
        "label": cell.label,
        "gates": cell.gate_names,
        "states": cell.state_names,
        "carried": cell.carried,
        "memory": cell.memory,
        "candidate": cell.candidate,
        "activations": {gate.name: gate.activation for gate in cell.gates},
        "scales": {gate.name: gate.scale for gate in cell.gates if gate.scale},
        "parts": {part.name: part.gate for part in cell.parts},
        "isAdditive": cell.is_additive,
        "meanings": cell.meanings,
    }


CONSTANTS: dict[str, tuple[object, str]] = {
    "CELLS": ({name: cell_facts(cell) for name, cell in CELLS.items()}, "The kinds of cells."),
    "CELL_SETTINGS": (
        {cell.setting: name for name, cell in CELLS.items()},
        "The kinds of cells by the setting in models' configs; the first is the default.",
    ),
    "MODEL_FILE": (
        {
            "format": model_file.FORMAT,
            "sizes": [size for size in model_file.SIZES if size not in model_file.FLAGS],
            "flags": model_file.FLAGS,
        },
        "A model file, and a layer's options in it.",
    ),
    "GRAPH": (
        {
            "nodes": graph.MOST_NODES,
            "text": graph.MOST_TEXT,
            "size": graph.MOST_SIZE,
            "work": graph.WORK,
            "work_per_byte": graph.WORK_PER_BYTE,
            "state": graph.STATE_FORMAT,
        },
        "what a graph may have, and the format of a stream's saved state, as in models/graph/graph.py",
    ),
    "INT8": (
        {"most": MOST, "columns": MOST_COLUMNS, "units": FEWEST_UNITS},
        "the largest, and the most columns and fewest units of layers that round what they multiply",
    ),
    "BUNDLE": ({"format": bundle.FORMAT, "version": bundle.VERSION}, "the data of a model on the page"),
    "TINY": (TINY, "for smaller c, tanh(c)/c is 1 to the last digit"),
    "MOST_LAYERS": (model_file.MOST_LAYERS, "of a recurrent layer"),
    "LARGEST_SIZE": (model_file.LARGEST_SIZE, "of anything in a config"),
    "MOST_ENTRIES": (model_file.MOST_ENTRIES, "of a file's metadata"),
    "LARGEST_HEADER": (LARGEST_HEADER, "of a safetensors file, in bytes, as in safetensors itself"),
    "SHUT": (SHUT, "a gate is shut below this"),
    "OPEN": (OPEN, "and open above this; values from -1 to 1 are low below -OPEN"),
    "OPPOSED": (OPPOSED, "methods of attribution disagree if both relative values exceed this, with opposite signs,"),
    "LARGE": (LARGE, "or if one exceeds this,"),
    "NOTHING": (NOTHING, "and the other is below this."),
    "HELD": (HELD, "the share of a memory above which the word that erased most of it is not named"),
    "MOST_PASSAGES": (MOST_PASSAGES, "in one request"),
    "MOST_PASSAGE_STEPS": (MOST_PASSAGE_STEPS, "of a passage"),
    "MOST_CHARACTERS": (MOST_CHARACTERS, "of a text that Python takes"),
    "MOST_ITEMS": (MOST_ITEMS, "units, steps or edits in a list that Python takes"),
    "EDIT_KINDS": (EDIT_KINDS, ""),
    "EDIT_SCOPES": (get_args(Scope), ""),
    "CHOICES": ({name: part.choices for name, part in VIEW.items() if part.choices}, "The choices in a view."),
    "FIRST_VIEW": ({name: part.first for name, part in VIEW.items()}, "The view of a new page."),
}
FROZEN = ("CELLS", "CHOICES")  # whose types are those of their values
TYPED = {"CELL_SETTINGS": "Record<string, string>", "FIRST_VIEW": "View"}


def literal(value: Any, room: int, indent: int = 0) -> str:
    """Return a value in TypeScript, formatted as prettier does it."""
    if isinstance(value, dict):
        parts = [
            f"{_key(key)}: {literal(item, WIDTH - indent - 3 - len(_key(key)), indent + 2)}"
            for key, item in value.items()
        ]
        line = f"{{ {', '.join(parts)} }}" if parts else "{}"
        brackets = "{}"
    elif isinstance(value, list | tuple):
        parts = [literal(item, WIDTH, indent + 2) for item in value]
        line, brackets = f"[{', '.join(parts)}]", "[]"
    else:
        return re.sub(r"e-0", "e-", json.dumps(value, ensure_ascii=False))
    if len(line) <= room and "\n" not in line and not (indent == 0 and isinstance(value, dict) and len(value) > 3):
        return line
    inner = "".join(f"{' ' * (indent + 2)}{part},\n" for part in parts)
    return f"{brackets[0]}\n{inner}{' ' * indent}{brackets[1]}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name)


def constants() -> Iterator[str]:
    """Yield the declarations of the constants."""
    for name, (value, about) in CONSTANTS.items():
        begin = f"export const {name}{f': {TYPED[name]}' if name in TYPED else ''} = "
        end = " as const;" if name in FROZEN else ";"
        text = literal(value, WIDTH - len(begin) - len(end))
        yield (
            f"{begin}{text}{end}{about and f' // {about}'}\n"
            if "\n" not in text
            else f"\n/** {about} */\n{begin}{text}{end}\n"
        )


def _union(texts: Iterable[str]) -> str:
    return " | ".join(f'"{text}"' for text in texts)


def edit_type() -> str:
    """Return the type of an edit."""
    return f"""/** One change of a run, like hiddenstate.Edit. */
export interface Edit {{
  place: string; // "l1.f"
  kind: {_union(EDIT_KINDS)}; // the new value is value, old * value, or old + value
  value: number;
  unit: number[] | null; // null: all
  t: number[] | null; // null: all
  scope: {_union(get_args(Scope))}; // write: carried on through time; readout: only this step's output
}}
"""


def view_type() -> str:
    """Return the type of the view."""
    fields = [f"  {name}: {part.type};{f' // {part.about}' if part.about else ''}\n" for name, part in VIEW.items()]
    about = "/** The user's current view, which is stored in the URL in full. */"
    return f"{about}\nexport interface View {{\n{''.join(fields)}}}\n"


SCALARS = {int: "number", str: "string", np.ndarray: "Float32Array"}


def message_type(message: type[Any], name: str) -> str:
    """Return the type of a message from Python; an array that it may lack is left out."""
    lines = [f'  type: "{name}";\n']
    for field, hint in get_type_hints(message).items():
        is_optional = type(None) in get_args(hint)
        plain = next(option for option in get_args(hint) if option is not type(None)) if is_optional else hint
        kind = SCALARS.get(get_origin(plain) or plain, "Partial<View>")
        lines.append(
            f"  {field}?: {kind};\n"
            if is_optional and kind == "Float32Array"
            else f"  {field}: {kind}{' | null' if is_optional else ''};\n"
        )
    about = (inspect.getdoc(message) or "").partition("\n")[0].replace("``", "`")
    return f"/** {about} */\nexport interface {message.__name__} {{\n{''.join(lines)}}}\n"


def facts() -> str:
    """Return the text of the module."""
    messages = [message_type(message, name) for message, name in TYPES.items()]
    return "\n".join([HEAD, edit_type(), view_type(), *messages, "".join(constants()).lstrip("\n")])


def kinds() -> str:
    """Return the text of ``cells.json``."""
    names = ("setting", "gate_names", "recorded_gates", "carried", "places")
    known = {kind: {name: getattr(cell, name) for name in names} for kind, cell in CELLS.items()}
    return "{\n" + ",\n".join(f'"{kind}": {json.dumps(facts)}' for kind, facts in known.items()) + "\n}\n"


if __name__ == "__main__":
    FACTS.write_text(facts(), encoding="utf-8")
    KINDS.write_text(kinds(), encoding="utf-8")
