"""How much each word contributes to a target: `attribute`.

- `run.py`: `attribute`: runs any method, with occlusion for comparison
- `result.py`: its result, `Attribution`
- `players.py`, `baselines.py`: the parts of an input that are replaced, and their replacements
- `occlusion.py`, `gradients.py`: replacing one word; gradient and integrated gradients
- `shapley.py`, `prefix_tree.py`: Shapley values; all ways to replace steps, with shared prefixes run only once
- `frozen.py`: contributions in the linear map that a run becomes if its gates are held fixed
- `contextual_decomposition.py`: splits every state into the part due to one span of steps and the rest
- `selfcheck.py`: `selfcheck`: scores an attribution method on planted networks
"""

from hiddenstate.explain.attribution.result import Attribution
from hiddenstate.explain.attribution.run import attribute

__all__ = ["Attribution", "attribute"]
