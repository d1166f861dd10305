"""The structure of an LSTM, GRU or RNN, as data: names, sizes, parameters, weights by gate, tables, diagrams.

Nothing here runs a layer or stores weight values.

- `names.py`: axis letters, and places such as `l0.f`; `paths.py`: looks up places in models, and lists them for
messages
- `layer_direction.py`: one layer in one direction: its name, its parameters' suffix, its reading order
- `addresses.py`: a place with units, step and row in one string, such as `l1.c[125]@7`: parsed and written
- `sizes.py`: the checked sizes of an LSTM, which determine every shape
- `parameters.py`: torch's parameter names, order, shapes and initialisation
- `axis_order.py`: time first, batch first, or without a batch
- `equations.py`: the equations as text
- `weights.py`: every weight by gate
- `table.py`: the table of the weights, for a terminal, as text and as HTML
- `tables.py`: any table, as text for a terminal and as CSV
- `diagram.py`: the diagram of a network unrolled over a sentence
- `structure.py`: the public class, `Structure`
"""
