"""What is explained: `subject` turns an LSTM, a module or a shipped model with a text into a `Subject`.

- `sources.py`: `subject`; `text_sources.py`, `module_sources.py`: subjects of taggers and language models, of modules
- `subject.py`: `Subject`: the LSTM, what it reads, its words and its head; runs it on many rows
- `head.py`: `Head`: from outputs to logits and log-probabilities, with labels
- `outputs.py`: `Outputs`: what a run of many rows returned
- `target.py`: `Target`, one number of a run, and `Readout`, a target that is linear in c or h
- `resolve_target.py`: `logit`, `log_probability`, and the other ways to name a target
- `batch_runner.py`: runs rows in batches, counts them, reports progress; `progress_bar.py`: the bar after one second;
  `bounds.py`: refuses explanations that would take hours or too much memory
- `gate_weights.py`: weights in float64, for what is computed outside the engine
"""

from hiddenstate.explain.subject.head import Head
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.resolve_target import log_probability, logit
from hiddenstate.explain.subject.sources import subject
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Readout, Target

__all__ = ["Head", "Outputs", "Readout", "Subject", "Target", "log_probability", "logit", "subject"]
