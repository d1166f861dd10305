"""Which words decided: `attribute`.

- `run.py`: `attribute`: every method, with occlusion beside it
- `result.py`: its result, `Attribution`
- `players.py`, `baselines.py`: what is replaced in an input, and with what
- `occlusion.py`, `gradients.py`: replacing one word; gradient and integrated gradients
- `shapley.py`, `prefix_tree.py`: Shapley values; all ways to replace steps, sharing the steps of equal beginnings
- `frozen.py`: the linear map that a run is with its gates held fixed
- `contextual_decomposition.py`: the part of every state that comes from one span of steps
- `selfcheck.py`: `selfcheck`: scores any method of attribution on planted networks
"""

from hiddenstate.explain.attribution.result import Attribution
from hiddenstate.explain.attribution.run import attribute

__all__ = ["Attribution", "attribute"]
