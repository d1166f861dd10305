import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from html import escape
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hiddenstate.cells.cell import SIGMA
from hiddenstate.errors import ArgumentError, NameUnknownError
from hiddenstate.structure.names import GATES
from hiddenstate.structure.sizes import Sizes
from hiddenstate.structure.structure import TIMES, Structure, equations, structure_of

GOLDEN = Path(__file__).parent / "golden" / "structure_4_3.txt"


@st.composite
def any_sizes(draw: st.DrawFn) -> Sizes:
    small, option = st.integers(1, 5), st.booleans()
    hidden = draw(small)
    projected = draw(st.integers(0, hidden - 1))
    return Sizes(draw(small), hidden, draw(st.integers(1, 3)), draw(option), draw(option), projected)


def torch_lstm(sizes: Sizes) -> torch.nn.LSTM:
    return torch.nn.LSTM(**{name: value for name, value in asdict(sizes).items() if name != "cell"})


def reassembled(structure: Structure, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every stacked parameter, assembled from the rows of its weights."""
    parts: dict[str, list[torch.Tensor]] = {}
    for weight in structure:
        parts.setdefault(weight.parameter, []).append(parameters[weight.parameter][weight.rows])
    return {name: torch.cat(rows) for name, rows in parts.items()}


@settings(max_examples=60, deadline=None)
@given(any_sizes())
def test_weights_are_torchs(sizes: Sizes) -> None:
    structure, parameters = structure_of(sizes), dict(torch_lstm(sizes).named_parameters())
    for weight in structure:
        assert parameters[weight.parameter][weight.rows].shape == weight.shape, weight.address
    again = reassembled(structure, parameters)
    assert list(again) == list(parameters)
    assert all(torch.equal(again[name], parameters[name]) for name in parameters)


def test_weights_are_torchs_fails() -> None:
    sizes = Sizes(4, 3)
    structure = structure_of(sizes)
    first, second, *others = structure.weights
    swapped = replace(structure, weights=(second, first, *others))
    parameters = dict(torch_lstm(sizes).named_parameters())
    assert not torch.equal(reassembled(swapped, parameters)["weight_ih_l0"], parameters["weight_ih_l0"])


@settings(max_examples=60, deadline=None)
@given(any_sizes())
def test_counts_are_torchs(sizes: Sizes) -> None:
    structure, lstm = structure_of(sizes), torch_lstm(sizes)
    assert structure.count == sum(structure.counts.values()) == sum(p.numel() for p in lstm.parameters())
    for name, count in structure.counts.items():
        end = f"_{name[:-1]}_reverse" if name.endswith("r") else f"_{name}"
        assert count == sum(p.numel() for key, p in lstm.named_parameters() if key.endswith(end))


def evaluated(structure: Structure, lstm: torch.nn.LSTM, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """One step from zero states, computed from the printed equations and the weights that they name."""
    parameters = dict(lstm.named_parameters())
    values: dict[str, torch.Tensor] = {w.name: parameters[w.parameter][w.rows] for w in structure.of(0)}
    values |= {"x": x, "h_prev": torch.zeros(structure.sizes.output_size), "c_prev": torch.zeros(lstm.hidden_size)}
    for equation in equations(structure.sizes):
        name, _, right = equation.partition(" = ")
        code = right.replace(SIGMA, "sigmoid").replace("·", "@").replace("∘", "*")
        values[name] = eval(code, {"sigmoid": torch.sigmoid, "tanh": torch.tanh}, values)
    return values


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("proj_size", [0, 2])
def test_equations_compute_what_torch_does(bias: bool, proj_size: int) -> None:
    torch.manual_seed(2)
    sizes, x = Sizes(4, 3, bias=bias, proj_size=proj_size), torch.randn(4)
    lstm = torch_lstm(sizes)
    values = evaluated(structure_of(sizes), lstm, x)
    _, (h, c) = lstm(x.unsqueeze(0))
    torch.testing.assert_close(values["h"], h[0])
    torch.testing.assert_close(values["c"], c[0])


def test_equations_compute_what_torch_does_fails() -> None:
    torch.manual_seed(2)
    sizes, x = Sizes(4, 3), torch.randn(4)
    lstm, structure = torch_lstm(sizes), structure_of(sizes)
    mixed = {"i": "f", "f": "i"}  # the two gates that are easiest to mix up
    wrong = [replace(w, name=w.name[:-1] + mixed.get(w.name[-1], w.name[-1])) for w in structure]
    values = evaluated(replace(structure, weights=tuple(wrong)), lstm, x)
    assert not torch.allclose(values["c"], lstm(x.unsqueeze(0))[1][1][0])


def test_lookup_by_address() -> None:
    structure = structure_of(Sizes(4, 3, 2, bidirectional=True, proj_size=2))
    weight = structure["l1r.W_hf"]
    assert (weight.parameter, weight.gate) == ("weight_hh_l1_reverse", "f")
    assert (weight.rows, weight.shape, weight.count) == (slice(3, 6), (3, 2), 6)
    assert structure["l1r.W_hr"].gate is None
    assert [structure[w.address] for w in structure] == list(structure)
    assert len(structure) == len(set(structure)) == 4 * (4 * len(GATES) + 1)


@pytest.mark.parametrize(
    ("address", "help_text"),
    [
        ("l0.W_iff", "did you mean l0.W_if"),
        ("W_if", "did you mean l0.W_if"),
        ("weight_ih_l0", "made of l0.W_ii, l0.W_if, l0.W_ig, l0.W_io"),
        ("nonsense", "it has l0.W_ii, "),
    ],
)
def test_lookup_by_address_fails(address: str, help_text: str) -> None:
    with pytest.raises(NameUnknownError, match=f"no weight '{address}' in this LSTM: .*{help_text}"):
        structure_of(Sizes(4, 3))[address]


def test_equations() -> None:
    structure = structure_of(Sizes(4, 3))
    assert structure["l0.b_hi"].equation == f"i = {SIGMA}(W_ii·x + b_ii + W_hi·h_prev + b_hi)"
    assert structure["l0.W_ig"].equation == "g = tanh(W_ig·x + b_ig + W_hg·h_prev + b_hg)"
    assert structure_of(Sizes(4, 3, proj_size=2))["l0.W_hr"].equation == "h = W_hr·(o∘tanh(c))"


def test_equations_fails() -> None:
    """Without biases, none are listed or appear in an equation."""
    structure = structure_of(Sizes(4, 3, bias=False))
    assert structure["l0.W_ii"].equation == f"i = {SIGMA}(W_ii·x + W_hi·h_prev)"
    assert "b_" not in str(structure)
    with pytest.raises(NameUnknownError):
        structure["l0.b_ii"]


def test_sizes_fails() -> None:
    with pytest.raises(ArgumentError, match="hidden_size"):
        structure_of(Sizes(4, 0))


def test_to_dicts_is_plain_data() -> None:
    rows = structure_of(Sizes(4, 3)).to_dicts()
    assert json.loads(json.dumps(rows)) == rows
    forget = {"address": "l0.W_if", "name": "W_if", "layer": 0, "reverse": False, "gate": "f", "rows": [3, 6]}
    forget |= {"parameter": "weight_ih_l0", "shape": [3, 4], "count": 12}
    assert rows[1].items() >= forget.items()


def test_text_is_golden() -> None:
    assert str(structure_of(Sizes(4, 3))) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_text_is_golden_fails() -> None:
    assert str(structure_of(Sizes(4, 2))) + "\n" != GOLDEN.read_text(encoding="utf-8")


def test_text_is_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert str(structure_of(Sizes(4, 3))) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_text_holds_wide_rows_whole() -> None:
    text = str(structure_of(Sizes(300, 512, 2, bidirectional=True, proj_size=100)))
    assert max(map(len, text.splitlines())) <= 120
    assert f"W_io  512{TIMES}200  102,400  weight_ih_l1_reverse  1536:2048" in text
    assert "l1r: layer 1, last step to first; x is l0.h beside l0r.h, 200 features; 669,696 parameters" in text
    assert "h0, h_n  (L·D, N, P)  = (4, N, 100)" in text
    assert "P = 100" in text


def printed(structure: Structure, width: int) -> str:
    console = Console(width=width, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(structure)
    return capture.get()


def test_rich_table_fits_a_terminal() -> None:
    structure = structure_of(Sizes(4, 3))
    text = printed(structure, 80)
    assert "\x1b[" in text
    assert text.count("W_ig") == 3  # the term, the name and the equation, none of them broken across lines


def test_rich_table_fits_a_terminal_fails() -> None:
    """In a narrow terminal, names are folded but never cut off."""
    assert "…" not in printed(structure_of(Sizes(4, 3)), 50)


def test_html_is_the_text() -> None:
    structure = structure_of(Sizes(4, 3, 2, bidirectional=True))
    assert structure._repr_html_() == f"<pre>{escape(str(structure))}</pre>"
