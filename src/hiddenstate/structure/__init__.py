"""The structure of an LSTM, GRU or RNN, as data: names, sizes, parameters, weights by gate, tables, diagrams.

Nothing here runs a layer or stores weight values.

- `names.py`: the letters and orders of axes; layers and directions; places such as `l0.f`, also inside models
- `addresses.py`: a place with units, step and row in one string, such as `l1.c[125]@7`: parsed and written
- `sizes.py`: the checked sizes of an LSTM, and torch's parameters: names, order, shapes and initialisation
- `tables.py`: any table, as text for a terminal and as CSV
- `diagram.py`: the diagram of a network unrolled over a sentence
- `structure.py`: every weight by gate, and the equations as text; the public class, `Structure`, and its table
"""
