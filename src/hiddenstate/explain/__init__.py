"""Explains the values of a run: what wrote a memory, which word was decisive, which value makes a difference.

Nothing here changes a model. Each tool is a file of its name, or a folder: its `run.py` holds the function that users
call; the class that it returns is there or in `result.py`:

- `subject/`: the subject of an explanation: an LSTM, its input, the head that reads its output, and the target
- `result/`: `Explanation`, the base class of results; terminal text and pictures
- `ledger/`: `ledger`: which steps wrote and erased a memory
- `attribution/`: `attribute`, how much each word contributes, by several methods; `selfcheck`, which scores a method
- `importance/`: `importance`, which feature matters at which lag over a data set
- `response/`: `response`, the target as one input moves; `limits`, what it can never exceed
- `sweep/`: `sweep`, the effect of patching every place, unit and step
- `graph/`: `graph`, the paths from words through units to a target
- `dynamics/`: `dynamics`, an LSTM as a dynamical system: time scales, saturation, fixed points, spectra
- `comparison/`: `compare`, where two models differ
- `probe/`: `probe`, whether a label or number can be read from a place, and whether the model uses it
- `automaton.py`: `automaton`, a finite automaton learned from an LSTM by queries

A function may share the name of its file or folder (`sweep`), because names are bound here after those have been
loaded.
"""

from hiddenstate.explain.attribution.feature_result import FeatureAttribution, Window
from hiddenstate.explain.attribution.result import Attribution
from hiddenstate.explain.attribution.run import attribute
from hiddenstate.explain.attribution.selfcheck import SelfCheck, selfcheck
from hiddenstate.explain.automaton import LearnedAutomaton, automaton
from hiddenstate.explain.comparison.run import Comparison
from hiddenstate.explain.dynamics.fixed_points import FixedPoints
from hiddenstate.explain.dynamics.run import Dynamics, Saturation, Spectrum, Timescales, dynamics
from hiddenstate.explain.graph.run import Graph, graph
from hiddenstate.explain.importance.result import Importance
from hiddenstate.explain.importance.run import importance
from hiddenstate.explain.ledger.cell import Ledger
from hiddenstate.explain.ledger.run import ReadoutLedger, ledger
from hiddenstate.explain.probe.number_probe import NumberProbe
from hiddenstate.explain.probe.result import Probe
from hiddenstate.explain.probe.run import probe
from hiddenstate.explain.response.bounds import Limits, limits
from hiddenstate.explain.response.run import Response, response
from hiddenstate.explain.result.explanation import Explanation
from hiddenstate.explain.subject.head import Head
from hiddenstate.explain.subject.series import Output, output
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Outputs, Subject
from hiddenstate.explain.subject.target import Readout, Target, log_probability, logit
from hiddenstate.explain.sweep.result import Sweep
from hiddenstate.explain.sweep.run import sweep

__all__ = [
    "Attribution",
    "Comparison",
    "Dynamics",
    "Explanation",
    "FeatureAttribution",
    "FixedPoints",
    "Graph",
    "Head",
    "Importance",
    "LearnedAutomaton",
    "Ledger",
    "Limits",
    "NumberProbe",
    "Output",
    "Outputs",
    "Probe",
    "Readout",
    "ReadoutLedger",
    "Response",
    "Saturation",
    "SelfCheck",
    "Spectrum",
    "Subject",
    "Sweep",
    "Target",
    "Timescales",
    "Window",
    "attribute",
    "automaton",
    "dynamics",
    "graph",
    "importance",
    "ledger",
    "limits",
    "log_probability",
    "logit",
    "output",
    "probe",
    "response",
    "selfcheck",
    "subject",
    "sweep",
]
