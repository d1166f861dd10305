"""A finite automaton learned from an LSTM by queries: `automaton`.

- `run.py`: `automaton`, and its result, `LearnedAutomaton`
"""
