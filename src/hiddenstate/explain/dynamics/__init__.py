"""An LSTM as a dynamical system: `dynamics`.

- `run.py`: `dynamics`, and `Dynamics`, whose methods give the views: how long units remember, how often gates are shut,
  how changes of the state grow along a run, and fixed points
- `fixed_points.py`: one step as a map from state to state in float64, and the states that it does not change
"""
