"""What the values of one run mean: who wrote a memory, which word decided.

What computes and runs lies in the rooms below; nothing here changes a model. Names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use as _on_first_use

if TYPE_CHECKING:
    from hiddenstate.explain.attribution import Attribution as Attribution
    from hiddenstate.explain.attributions import attribute as attribute
    from hiddenstate.explain.automata_learning import automaton as automaton
    from hiddenstate.explain.comparison import Comparison as Comparison
    from hiddenstate.explain.dynamics_of import Dynamics as Dynamics
    from hiddenstate.explain.dynamics_of import dynamics as dynamics
    from hiddenstate.explain.explained import Subject as Subject
    from hiddenstate.explain.fixed_points import FixedPoints as FixedPoints
    from hiddenstate.explain.gate_statistics import Saturation as Saturation
    from hiddenstate.explain.gate_statistics import Timescales as Timescales
    from hiddenstate.explain.graph_result import Graph as Graph
    from hiddenstate.explain.graphs import graph as graph
    from hiddenstate.explain.head import Head as Head
    from hiddenstate.explain.learned_automaton import LearnedAutomaton as LearnedAutomaton
    from hiddenstate.explain.ledger_of_cell import Ledger as Ledger
    from hiddenstate.explain.ledger_of_readout import ReadoutLedger as ReadoutLedger
    from hiddenstate.explain.ledgers import ledger as ledger
    from hiddenstate.explain.outputs import Outputs as Outputs
    from hiddenstate.explain.results import Explanation as Explanation
    from hiddenstate.explain.selfchecks import SelfCheck as SelfCheck
    from hiddenstate.explain.selfchecks import selfcheck as selfcheck
    from hiddenstate.explain.spectra import Spectrum as Spectrum
    from hiddenstate.explain.subjects import subject as subject
    from hiddenstate.explain.sweep_result import Sweep as Sweep
    from hiddenstate.explain.sweeps import sweep as sweep
    from hiddenstate.explain.target import Readout as Readout
    from hiddenstate.explain.target import Target as Target
    from hiddenstate.explain.targets import log_probability as log_probability
    from hiddenstate.explain.targets import logit as logit

# A function's file has another name than the function, which would else be hidden by it once it is imported.
_HOMES = {
    "Attribution": "attribution",
    "Comparison": "comparison",
    "Dynamics": "dynamics_of",
    "Explanation": "results",
    "FixedPoints": "fixed_points",
    "Graph": "graph_result",
    "Head": "head",
    "LearnedAutomaton": "learned_automaton",
    "Ledger": "ledger_of_cell",
    "Outputs": "outputs",
    "Readout": "target",
    "ReadoutLedger": "ledger_of_readout",
    "Saturation": "gate_statistics",
    "SelfCheck": "selfchecks",
    "Spectrum": "spectra",
    "Subject": "explained",
    "Sweep": "sweep_result",
    "Target": "target",
    "Timescales": "gate_statistics",
    "attribute": "attributions",
    "automaton": "automata_learning",
    "dynamics": "dynamics_of",
    "graph": "graphs",
    "ledger": "ledgers",
    "log_probability": "targets",
    "logit": "targets",
    "selfcheck": "selfchecks",
    "subject": "subjects",
    "sweep": "sweeps",
}
__all__ = list(_HOMES)
__getattr__ = _on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
