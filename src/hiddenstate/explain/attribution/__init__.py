"""How much each word contributes to a target: `attribute`.

- `run.py`: `attribute`: runs any method, with occlusion for comparison; gradient and integrated gradients
- `result.py`: its result, `Attribution`
- `players.py`: the parts of an input that are replaced, their replacements, and the target with some replaced
- `shapley.py`: Shapley values; all ways to replace steps, with shared prefixes run only once
- `frozen.py`: contributions in the linear map that a run becomes if its gates are held fixed
- `contextual_decomposition.py`: splits every state into the part due to one span of steps and the rest
- `selfcheck.py`: `selfcheck`: scores an attribution method on planted networks
"""
