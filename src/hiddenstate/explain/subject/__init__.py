"""The subject of an explanation: `subject` turns an LSTM, a module or a shipped model with a text into a `Subject`.

- `sources.py`: `subject`; `text_sources.py`, `module_sources.py`: subjects of taggers and language models, of modules
- `subject.py`: `Subject`: the LSTM, its input, its words and its head; runs it on many rows
- `head.py`: `Head`: computes logits and log-probabilities from outputs, with labels
- `module_head.py`: finds a module's head; `module_output.py`: `ModuleOutput`: whether the module returns what it gives
- `outputs.py`: `Outputs`: the outputs of a run of many rows
- `target.py`: `Target`, one number of a run, and `Readout`, a target that is linear in c or h
- `resolve_target.py`: `logit`, `log_probability`, and the other ways to name a target
- `batch_runner.py`: runs rows in batches, counts them, and reports progress; `progress_bar.py`: a bar that appears
  after one second; `bounds.py`: rejects explanations that would take hours or too much memory
- `gate_weights.py`: weights in float64, for computations outside the engine
"""

from hiddenstate.explain.subject.head import Head
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.resolve_target import log_probability, logit
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Readout, Target

__all__ = ["Head", "Outputs", "Readout", "Subject", "Target", "log_probability", "logit", "subject"]
