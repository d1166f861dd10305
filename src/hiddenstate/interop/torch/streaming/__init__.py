"""`stream`: a whole module, one step or chunk at a time.

- `stream.py`: `stream` and `ModelStream`
- `carrying.py`: how layers, cells and convolutions begin with their states in a call of the module
- `finding.py`: finds how a module is streamed, by running it on an example
- `verifying.py`: compares the stream with the module, and names the part that makes them differ
"""
