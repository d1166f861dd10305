"""Whole models without torch: one graph of a closed list of operations, as a file or as C.

- `graph.py`: the graph, its operations, and the check of every shape; `arithmetic.py`: runs it in NumPy
- `capture.py`: makes it of a module, by ``torch.export``; `translation.py`: torch's operations as the list's
- `file.py`: writes it, after checking it against torch; `int8.py`: layers that round to int8, on every machine
- `c_file.py`: `export_c`, which writes it as one C99 file; `parts.c`: the functions that such files call
"""
