"""A finite automaton learned from an LSTM by queries: `automaton`.

- `run.py`: `automaton`
- `result.py`: its result, `LearnedAutomaton`
"""

from hiddenstate.explain.automaton.result import LearnedAutomaton
from hiddenstate.explain.automaton.run import automaton

__all__ = ["LearnedAutomaton", "automaton"]
