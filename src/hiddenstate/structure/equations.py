"""The equations of one step as text.

x is the layer's input, h_prev and c_prev are its states at the previous step, and ∘ multiplies elementwise.
"""

from hiddenstate.cells.cell import Cell
from hiddenstate.cells.lstm import LSTM
from hiddenstate.structure.sizes import Sizes


def gate_terms(gate: str, bias: bool = True, cell: Cell = LSTM) -> tuple[str, ...]:
    """List the terms of a gate's sum, which may open and close a bracket.

    >>> gate_terms("f")
    ('W_if·x', 'b_if', 'W_hf·h_prev', 'b_hf')
    """
    x, h = f"W_i{gate}·x", f"W_h{gate}·h_prev"
    terms = (x, f"b_i{gate}", h, f"b_h{gate}") if bias else (x, h)
    scale = cell.gate_by_name[gate].scale
    if scale is None:
        return terms
    *of_input, first = terms[: len(terms) // 2 + 1]
    if not bias:
        return (*of_input, f"{scale}∘({first})")
    return (*of_input, f"{scale}∘({first}", f"{terms[-1]})")


def weight_name(term: str) -> str:
    """Return the name of the weight in a term.

    >>> weight_name("r∘(W_hn·h_prev"), weight_name("b_hn)")
    ('W_hn', 'b_hn')
    """
    return term.rpartition("(")[2].partition("·")[0].rstrip(")")


def gate_equation(gate: str, bias: bool = True, cell: Cell = LSTM) -> str:
    """Write one gate's equation.

    >>> gate_equation("g", bias=False)
    'g = tanh(W_ig·x + W_hg·h_prev)'
    """
    return f"{gate} = {cell.gate_by_name[gate].symbol}({' + '.join(gate_terms(gate, bias, cell))})"


def equations(sizes: Sizes) -> tuple[str, ...]:
    """Write the equations of all gates, then of all states.

    >>> equations(Sizes(4, 3))[4:]
    ('c = f∘c_prev + i∘g', 'h = o∘tanh(c)')
    >>> equations(Sizes(4, 3, cell="GRU"))[2:]
    ('n = tanh(W_in·x + b_in + r∘(W_hn·h_prev + b_hn))', 'h = z∘h_prev + (1-z)∘n')
    """
    cell = sizes.kind
    gates = [gate_equation(gate, sizes.bias, cell) for gate in cell.gate_names]
    states = [[state.name, state.equation("∘")] for state in cell.states if state.terms]
    if sizes.proj_size:
        states[-1][1] = f"W_hr·({states[-1][1]})"
    return (*gates, *(" = ".join(each) for each in states))
