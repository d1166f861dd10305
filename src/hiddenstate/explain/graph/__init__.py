"""The paths from words through units to a target: `graph`.

- `run.py`: `graph`, from the contributions that flow into each node; its result, `Graph`: nodes, edges and a picture
"""
