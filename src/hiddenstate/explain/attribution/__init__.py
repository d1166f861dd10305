"""How much each word, or each feature in each window of steps, contributes to a target: `attribute`.

- `run.py`: `attribute`: runs any method, with occlusion for comparison
- `methods.py`: the methods, by name; gradient, integrated gradients and occlusion
- `result.py`: its result for words, `Attribution`; `feature_result.py`: for series, `FeatureAttribution`
- `features.py`: groups of features × windows of steps as players, and the baselines of series
- `players.py`: the parts of an input that are replaced, their replacements, and the target with some replaced
- `shapley.py`: Shapley values, exact or sampled; `prefix_tree.py`: the target of every set of players, with
  shared steps, and states that have become equal, run once
- `frozen.py`: contributions in the linear map that a run becomes if its gates are held fixed
- `contextual_decomposition.py`: splits every state into the part due to one span of steps and the rest
- `selfcheck.py`: `selfcheck`: scores an attribution method on planted networks
"""
