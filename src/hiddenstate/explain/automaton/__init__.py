"""A finite automaton learned from an LSTM by queries: `automaton`.

- `run.py`: `automaton`, and its result, `LearnedAutomaton`
"""

from hiddenstate.explain.automaton.run import LearnedAutomaton, automaton

__all__ = ["LearnedAutomaton", "automaton"]
