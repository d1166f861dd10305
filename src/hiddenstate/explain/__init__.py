"""What the values of one run mean: who wrote a memory, which word decided.

What computes and runs lies in the rooms below; nothing here changes a model. Names are loaded when they are first used.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hiddenstate.explain.attribution import Attribution as Attribution
    from hiddenstate.explain.attributions import attribute as attribute
    from hiddenstate.explain.explained import Subject as Subject
    from hiddenstate.explain.head import Head as Head
    from hiddenstate.explain.ledger_of_cell import Ledger as Ledger
    from hiddenstate.explain.ledger_of_readout import ReadoutLedger as ReadoutLedger
    from hiddenstate.explain.ledgers import ledger as ledger
    from hiddenstate.explain.outputs import Outputs as Outputs
    from hiddenstate.explain.results import Explanation as Explanation
    from hiddenstate.explain.subjects import subject as subject
    from hiddenstate.explain.target import Readout as Readout
    from hiddenstate.explain.target import Target as Target
    from hiddenstate.explain.targets import log_probability as log_probability
    from hiddenstate.explain.targets import logit as logit

# A function's file has another name than the function, which would else be hidden by it once it is imported.
_HOMES = {
    "Attribution": "attribution",
    "Explanation": "results",
    "Head": "head",
    "Ledger": "ledger_of_cell",
    "Outputs": "outputs",
    "Readout": "target",
    "ReadoutLedger": "ledger_of_readout",
    "Subject": "explained",
    "Target": "target",
    "attribute": "attributions",
    "ledger": "ledgers",
    "log_probability": "targets",
    "logit": "targets",
    "subject": "subjects",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
