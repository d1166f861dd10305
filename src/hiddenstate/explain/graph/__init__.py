"""The paths from words through units to a number: `graph`.

- `run.py`: `graph`
- `result.py`: its result, `Graph`; `parts.py`: nodes and edges; `picture.py`: its picture
- `edges.py`: what flows into a node
"""

from hiddenstate.explain.graph.result import Graph
from hiddenstate.explain.graph.run import graph

__all__ = ["Graph", "graph"]
