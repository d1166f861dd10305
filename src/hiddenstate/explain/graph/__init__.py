"""The paths from words through units to a target: `graph`.

- `run.py`: `graph`
- `result.py`: its result, `Graph`; `parts.py`: nodes and edges; `picture.py`: its picture
- `edges.py`: the contributions that flow into a node
"""

from hiddenstate.explain.graph.result import Graph
from hiddenstate.explain.graph.run import graph

__all__ = ["Graph", "graph"]
