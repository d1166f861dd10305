"""The equations of one step as text.

x is the layer's input, h_prev and c_prev are its previous states, and ∘ multiplies elementwise.
"""

from hiddenstate.cells.lstm import LSTM
from hiddenstate.structure.sizes import Sizes


def gate_terms(gate: str, bias: bool = True) -> tuple[str, ...]:
    """List the terms of a gate's sum.

    >>> gate_terms("f")
    ('W_if·x', 'b_if', 'W_hf·h_prev', 'b_hf')
    """
    x, h = f"W_i{gate}·x", f"W_h{gate}·h_prev"
    return (x, f"b_i{gate}", h, f"b_h{gate}") if bias else (x, h)


def gate_equation(gate: str, bias: bool = True) -> str:
    """Write one gate's equation.

    >>> gate_equation("g", bias=False)
    'g = tanh(W_ig·x + W_hg·h_prev)'
    """
    return f"{gate} = {LSTM.gate_by_name[gate].symbol}({' + '.join(gate_terms(gate, bias))})"


def equations(sizes: Sizes) -> tuple[str, ...]:
    """Write the equations of all gates, then of all states.

    >>> equations(Sizes(4, 3))[4:]
    ('c = f∘c_prev + i∘g', 'h = o∘tanh(c)')
    """
    gates = tuple(gate_equation(gate, sizes.bias) for gate in LSTM.gate_names)
    *inner, output = ((state.name, state.equation("∘")) for state in LSTM.states)
    last = f"W_hr·({output[1]})" if sizes.proj_size else output[1]
    return (*gates, *(f"{name} = {text}" for name, text in inner), f"{output[0]} = {last}")
