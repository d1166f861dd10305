"""The six equations of one step of an LSTM, as text.

Letters: x is the layer's input, h_prev and c_prev its states one step before, ∘ multiplies unit by unit.
"""

from hiddenstate.structure.names import GATES
from hiddenstate.structure.sizes import Sizes

SIGMA = "\N{GREEK SMALL LETTER SIGMA}"


def squash_of(gate: str) -> str:
    """Name the function around a gate's sum: tanh for the candidate, the sigmoid for the others."""
    return "tanh" if gate == "g" else SIGMA


def terms_of(gate: str, bias: bool = True) -> tuple[str, ...]:
    """List the terms that a gate's sum adds up.

    >>> terms_of("f")
    ('W_if·x', 'b_if', 'W_hf·h_prev', 'b_hf')
    """
    x, h = f"W_i{gate}·x", f"W_h{gate}·h_prev"
    return (x, f"b_i{gate}", h, f"b_h{gate}") if bias else (x, h)


def equation_of(gate: str, bias: bool = True) -> str:
    """Write one gate's equation.

    >>> equation_of("g", bias=False)
    'g = tanh(W_ig·x + W_hg·h_prev)'
    """
    return f"{gate} = {squash_of(gate)}({' + '.join(terms_of(gate, bias))})"


def equations_of(sizes: Sizes) -> tuple[str, ...]:
    """Write all six.

    >>> equations_of(Sizes(4, 3))[4:]
    ('c = f∘c_prev + i∘g', 'h = o∘tanh(c)')
    """
    gates = tuple(equation_of(gate, sizes.bias) for gate in GATES)
    hidden = "h = W_hr·(o∘tanh(c))" if sizes.proj_size else "h = o∘tanh(c)"
    return (*gates, "c = f∘c_prev + i∘g", hidden)
