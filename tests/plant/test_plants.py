"""Plants: the LSTM matches its known function, on fresh inputs, on every path, in both types."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.plant import AutomatonPlant, Plant

MAKERS: dict[str, Callable[..., Plant]] = {
    "latch": hs.plant.latch,
    "latch, gate": lambda **options: hs.plant.latch(content="gate", **options),
    "bistable": hs.plant.bistable,
    "counter": hs.plant.counter,
    "integrator": hs.plant.integrator,
    "copied_unread": hs.plant.copied_unread,
    "automaton": hs.plant.flip_flop,
    "dyck": hs.plant.dyck,
    "delay": hs.plant.delay,
    "accumulator": hs.plant.accumulator,
    "opened": hs.plant.opened,
    "GRU latch": hs.plant.gru_latch,
    "GRU counter": hs.plant.gru_counter,
    "GRU automaton": lambda **options: hs.plant.flip_flop(cell="GRU", **options),
}


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MAKERS)
def test_the_lstm_does_what_the_truth_says(name: str, dtype: torch.dtype, backend: Any) -> None:
    plant = MAKERS[name](dtype=dtype)
    assert plant.name == name
    assert type(plant.lstm) is (hs.GRU if name.startswith("GRU") else hs.LSTM)
    for seed, T in itertools.product(range(3), (2, 17)):
        x = plant.inputs(seed, T=T, N=3)
        with hs.backend(backend):
            gap = float((plant.measured(x) - plant.expected(x)).abs().max())
        assert gap <= plant.tolerance + (1e-5 if dtype is torch.float32 else 0.0)


@pytest.mark.parametrize("name", MAKERS)
def test_inputs_come_again_by_their_seed_and_tell_seeds_apart(name: str) -> None:
    plant = MAKERS[name]()
    assert torch.equal(plant.inputs(3, T=12, N=2), plant.inputs(3, T=12, N=2))
    assert len({plant.inputs(seed, T=12).numpy().tobytes() for seed in range(6)}) > 2
    assert plant.inputs(0, T=5, N=4).shape == (5, 4, plant.lstm.input_size)


@pytest.mark.parametrize("name", MAKERS)
def test_every_role_names_a_place_of_the_lstm(name: str) -> None:
    plant = MAKERS[name]()
    trace = plant.lstm.trace(plant.inputs(0))
    for address in [*plant.roles, plant.target]:
        place, unit = address.rstrip("]").split("[")
        assert int(unit) < trace[place].shape[-1]
    assert plant.truth in repr(plant)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "dyck"])
def test_worth_is_what_the_lstm_loses_without_a_step(name: str) -> None:
    plant = MAKERS[name]()
    x = plant.inputs(1, T=9, N=2)
    worth = plant.worth(x)
    assert float(worth.abs().sum()) > 0
    for t in range(9):
        without = x.clone()
        without[t] = 0
        lost = plant.measured(x)[-1] - plant.measured(without)[-1]
        assert torch.allclose(worth[t], lost, atol=2 * plant.tolerance + 1e-9)


@given(st.floats(0.5, 500), st.integers(0, 99))
def test_a_latch_fades_with_its_time_constant(hold: float, seed: int) -> None:
    plant = hs.plant.latch(hold)
    x = plant.inputs(seed, T=12)
    at = int(x[:, 0, 1].argmax())
    c = plant.measured(x)[:, 0]
    written = math.tanh(x[at, 0, 0])
    for t in range(at, 12):
        assert float(c[t]) == pytest.approx(written * math.exp(-(t - at) / hold), abs=plant.tolerance)
    f = plant.lstm.trace(x)["l0.f"][:, 0, 0].detach()
    kept = [t for t in range(12) if t != at]
    assert torch.allclose(-1 / torch.log(f[kept]), torch.tensor(hold, dtype=torch.float64), rtol=1e-9)


def test_a_latch_holds_the_last_of_many_writes() -> None:
    for content in ("g", "gate"):
        plant = hs.plant.latch(20, content=content)
        x = torch.rand(30, 5, 2, dtype=torch.float64)
        x[..., 1] = (x[..., 1] > 0.6).double()
        assert float((plant.measured(x) - plant.expected(x)).abs().max()) <= plant.tolerance


def test_the_gate_alone_carries_the_content_of_one_latch_and_g_that_of_the_other() -> None:
    by_gate, by_g = hs.plant.latch(content="gate"), hs.plant.latch()
    x = by_g.inputs(0)
    traces = {plant.name: plant.lstm.trace(x) for plant in (by_gate, by_g)}
    assert len(traces["latch, gate"]["l0.g"].unique()) == 1
    assert torch.allclose(traces["latch"]["l0.g"][..., 0], torch.tanh(x[..., 0]))
    assert torch.equal(traces["latch"]["l0.i"], traces["latch, gate"]["l0.i"])


def test_a_counter_counts_far_beyond_what_h_can_show() -> None:
    plant = hs.plant.counter()
    x = torch.zeros(2000, 1, 2, dtype=torch.float64)
    x[:1500, :, 0], x[1500:, :, 1] = 1, 1
    assert torch.equal(plant.measured(x), plant.expected(x))
    assert float(plant.measured(x)[1499]) == 1500
    h = plant.lstm.trace(x)["l0.h"][:, 0, 0].detach()
    assert float(h[900]) == float(h[1499]) == 1.0


def test_bistable_rests_at_two_points_and_leaves_zero() -> None:
    plant = hs.plant.bistable()
    rest = torch.zeros(60, 1, 1, dtype=torch.float64)
    for side in (1.0, -1.0):
        x = rest.clone()
        x[0] = side
        c = plant.lstm.trace(x)["l0.c"][:, 0, 0].detach()
        assert float(c[-1]) == pytest.approx(side * 1.2343, abs=5e-5)
    assert not plant.measured(rest).any(), "the saddle itself is a fixed point"
    x = rest.clone()
    x[0] = 1e-9
    assert float(plant.measured(x)[-1]) == 1.0, "and what is put beside it leaves it"


def test_an_unread_copy_can_be_read_but_changes_nothing() -> None:
    plant = hs.plant.copied_unread()
    x = plant.inputs(0)
    trace = plant.lstm.trace(x)
    assert torch.allclose(trace["l0.h"][..., 1], torch.tanh(torch.tanh(x[..., 1])))
    with plant.lstm.edit(hs.set("l0.h", to=0.7, unit=1)):
        assert torch.allclose(plant.measured(x), plant.expected(x), atol=plant.tolerance)


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[tuple[int, str], int], int]:
    """Any complete automaton of up to 7 states and 4 symbols, and a start."""
    states, symbols = draw(st.integers(1, 7)), "abcd"[: draw(st.integers(1, 4))]
    to = st.integers(0, states - 1)
    return {(q, a): draw(to) for q in range(states) for a in symbols}, draw(to)


@given(tables(), st.integers(0, 99), st.booleans(), st.booleans())
def test_any_automaton_is_an_lstm(
    table: tuple[dict[tuple[int, str], int], int], seed: int, silent: bool, single: bool
) -> None:
    delta, start = table
    dtype = torch.float32 if single else torch.float64
    plant = hs.plant.automaton(delta, start, silent="a" if silent else None, dtype=dtype)
    x = plant.inputs(seed, T=40, N=3)
    h = plant.lstm(x)[0].detach()
    for n, word in enumerate(plant.machine.words(x)):
        state = start
        for t, symbol in enumerate(word):
            unit = torch.zeros(plant.lstm.hidden_size, dtype=dtype)
            unit[plant.machine.unit(state, symbol)] = math.tanh(1)
            assert float((h[t, n] - unit).abs().max()) <= (1e-6 if single else plant.tolerance)
            state = delta[state, str(symbol)]
            assert plant.machine.decode(h[t, n]) == [state]
        assert plant.machine.run(word)[-1] == state
    assert plant.machine.decode(torch.zeros(plant.lstm.hidden_size)) == [start]


def nested(word: str, m: int) -> str:
    """The stack after a word, by counting: the expected state of `dyck`."""
    stack = ""
    for bracket in word:
        if bracket in "([{<":
            stack += bracket
        elif stack and stack[-1] + bracket in ("()", "[]", "{}", "<>"):
            stack = stack[:-1]
        else:
            return "error"
        if len(stack) > m:
            return "error"
    return stack


@pytest.mark.parametrize(("k", "m"), [(1, 1), (1, 6), (2, 2), (2, 4), (4, 2)])
def test_dyck_is_a_stack(k: int, m: int) -> None:
    plant = hs.plant.dyck(k, m)
    assert isinstance(plant, AutomatonPlant)
    assert plant.lstm.hidden_size == 2 * k * (1 + sum(k**j for j in range(m + 1)))
    x = plant.inputs(0, T=25, N=8)
    h = plant.lstm(x)[0].detach()
    ends = set()
    for n, word in enumerate(plant.machine.words(x)):
        ends.add(nested("".join(map(str, word)), m))
        for t in (0, 3, 24):
            assert plant.machine.decode(h[t, n]) == [nested("".join(map(str, word[: t + 1])), m)]
    assert len(ends) > 1
    wrong = plant.machine.encode("()" + "(" * (m + 1) + ")")
    assert plant.machine.decode(plant.lstm(wrong)[0][-1]) == ["error"]


def test_a_word_is_encoded_and_read_back() -> None:
    plant = hs.plant.flip_flop()
    word = ["wait", "set", "wait", "reset", "set"]
    x = plant.machine.encode(word)
    assert plant.machine.words(x) == [word]
    assert not x[0].any(), "the silent symbol is the zero input"
    assert plant.machine.decode(plant.lstm(x)[0]) == ["off", "on", "on", "off", "on"] == plant.machine.run(word)


ANYTHING: Any = hs.plant  # calls that the type checker also rejects


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ANYTHING.latch(0), ArgumentError, "between 0.01 and 1e15"),
        (lambda: ANYTHING.latch(float("nan")), ArgumentError, "nan"),
        (lambda: ANYTHING.latch("long"), ArgumentTypeError, "number of steps"),
        (lambda: ANYTHING.latch(content="f"), ArgumentError, "'g' or 'gate'"),
        (lambda: ANYTHING.integrator(-1), ArgumentError, "-1"),
        (lambda: ANYTHING.counter(dtype=torch.float16), ArgumentTypeError, "float16"),
        (lambda: ANYTHING.dyck(5, 1), ArgumentError, "1 to 4"),
        (lambda: ANYTHING.dyck(2, 10**12), ArgumentError, "more than 1024 units"),
        (lambda: ANYTHING.dyck(2, 9), ArgumentError, "more than 1024 units"),
        (lambda: ANYTHING.dyck(1.5, 2), ArgumentTypeError, "k should be of type int"),
        (lambda: ANYTHING.automaton({}, 0), ArgumentTypeError, "at least one entry"),
        (lambda: ANYTHING.automaton({0: 1}, 0), ArgumentTypeError, "mapping from"),
        (lambda: ANYTHING.automaton({(0, "a"): 0, (1, "b"): 0}, 0), ArgumentError, "state 0 and symbol 'b'"),
        (lambda: ANYTHING.automaton({(0, "a"): 7}, 0), ArgumentError, "state 7 and symbol 'a'"),
        (lambda: ANYTHING.automaton({(0, "a"): 0}, 3), ArgumentError, "state 3 and symbol 'a'"),
        (lambda: ANYTHING.automaton({(0, "a"): 0}, 0, silent="z"), ArgumentError, "silent symbol 'z'"),
        (lambda: ANYTHING.automaton({(q, 0): 0 for q in range(1025)}, 0), ArgumentError, "more than 1024 units"),
        (lambda: ANYTHING.counter().inputs(0, T=1), ArgumentError, "at least 2 steps"),
        (lambda: ANYTHING.counter().inputs(0, T=10**12), ArgumentError, "numbers"),
        (lambda: ANYTHING.counter().inputs(0.5), ArgumentTypeError, "seed"),
        (lambda: ANYTHING.counter().expected(torch.zeros(3, 2)), ShapeError, r"\[T, N, 2\]"),
        (lambda: ANYTHING.dyck().expected(torch.zeros(3, 1, 4)), ArgumentError, "not encode a word"),
        (lambda: ANYTHING.dyck().machine.run("(x"), NameUnknownError, "'x'"),
        (lambda: ANYTHING.dyck().machine.unit("(((", ")"), NameUnknownError, "no state"),
    ],
)
def test_plants_fail(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_table_has_every_plant_of_the_garden_for_every_method() -> None:
    for method, row in hs.plant.EXPECTED.items():
        assert set(row) == set(hs.plant.garden("LSTM" if method == "cd" else None)), method
        assert all(expectation.why for expectation in row.values())


def test_a_gru_counts_by_multiplying() -> None:
    plant = hs.plant.gru_counter(keep=0.5)
    x = torch.zeros(300, 1, 2, dtype=torch.float64)
    x[0, :, 0], x[1:201, :, 1], x[250, :, 0] = 1, 1, 1
    count = torch.log(plant.measured(x)) / math.log(0.5)
    assert torch.allclose(count[[0, 1, 100, 200, 249, 250]], torch.tensor([0.0, 1, 100, 200, 200, 0])[:, None].double())
    for keep in (0.0, 1.0):
        with pytest.raises(ArgumentError, match="keep must be between"):
            hs.plant.gru_counter(keep)
    with pytest.raises(ArgumentTypeError, match="keep must be a number"):
        hs.plant.gru_counter("much")  # type: ignore[arg-type]


def test_a_gru_latch_holds_for_good() -> None:
    plant = hs.plant.gru_latch()
    x = torch.rand(2000, 1, 2, dtype=torch.float64)
    x[:, :, 1] = 0
    x[3, 0, 1] = 1
    assert float(plant.measured(x)[-1]) == pytest.approx(math.tanh(float(x[3, 0, 0])), abs=1e-15)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_any_automaton_is_a_gru(states: int, symbols: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    to = torch.randint(0, states, (states, symbols), generator=draw).tolist()
    delta = {(q, a): to[q][a] for q in range(states) for a in range(symbols)}
    plant = hs.plant.automaton(delta, 0, cell="GRU")
    x = plant.inputs(seed, T=20)
    out, _ = plant.lstm(x)
    assert plant.machine.decode(out[:, 0]) == plant.machine.run(plant.machine.words(x)[0])


def test_an_automaton_of_another_cell_fails() -> None:
    with pytest.raises(ArgumentError, match="an automaton can only be planted in an LSTM or a GRU, got cell='RNN'"):
        hs.plant.flip_flop(cell="RNN")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["delay", "accumulator", "opened"])
def test_the_worth_of_features_adds_nothing_where_nothing_is_read(name: str) -> None:
    plant = MAKERS[name]()
    x = plant.inputs(1, T=9, N=2)
    by_feature = plant.worth(x, by_feature=True)
    assert by_feature.shape == x.shape
    read = {"delay": [2], "accumulator": [1], "opened": [0, 3]}[name]
    unread = [k for k in range(4) if k not in read]
    assert bool((by_feature[..., unread] == 0).all())
    if name == "delay":
        assert (by_feature[..., 2] != 0).nonzero()[:, 0].unique().tolist() == [3]  # five steps before the last
    if name != "opened":
        assert torch.allclose(by_feature.sum(-1), plant.worth(x), atol=1e-14)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hs.plant.delay(51), "0..50"),
        (lambda: hs.plant.delay(feature=4), "feature"),
        (lambda: hs.plant.accumulator(features=0), "1..1024"),
        (lambda: hs.plant.opened(1, 1), "both 1"),
        (lambda: hs.plant.opened(7), "feature"),
    ],
)
def test_a_plant_of_features_that_cannot_be_fails(make: Callable[[], Plant], words: str) -> None:
    with pytest.raises((ArgumentError, IndexError), match=words):
        make()
