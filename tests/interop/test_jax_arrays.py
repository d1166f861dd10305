"""LSTM cells of Flax and Equinox give the same numbers."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError, ShapeError
from hiddenstate.interop.jax_arrays import from_equinox, from_flax, in_flax
from interop.frameworks import equinox, jax, jnp, linen, nnx
from support import assert_close


def randomised(tree: Any) -> Any:
    """The same tree with random numbers, since Flax's biases are initially zero."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape) * 0.5, leaf.dtype), tree)


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def linen_params(module: Any, features: int = 4) -> Any:
    return randomised(module.init(jax.random.key(0), jnp.zeros((2, 5, features))))


@cache
def linen_run(kind: str) -> tuple[Any, torch.Tensor, Any]:
    """Variables, an input, and the states and outputs; JAX compiles each of its steps."""
    rnn, x = linen.RNN(getattr(linen, kind)(3), return_carry=True), torch.randn(2, 5, 4)
    variables = linen_params(rnn)
    return variables, x, rnn.apply(variables, jnp.asarray(x))


@cache
def nnx_run(kind: str) -> tuple[Any, torch.Tensor, Any]:
    rnn, x = nnx.RNN(getattr(nnx, kind)(4, 3, rngs=nnx.Rngs(0))), torch.randn(2, 5, 4)
    nnx.update(rnn, randomised(nnx.state(rnn, nnx.Param)))
    return nnx.state(rnn, nnx.Param), x, rnn(jnp.asarray(x))


def frozen(variables: Any) -> Any:
    from flax.core import freeze

    return freeze(variables)


@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell"])
@pytest.mark.parametrize("kept", [lambda v: v, lambda v: v["params"], lambda v: v["params"]["cell"], frozen])
def test_linen(kind: str, kept: Any) -> None:
    variables, x, ((c, h), out) = linen_run(kind)
    ours, (h_n, c_n) = from_flax(kept(variables))(x)
    assert_close(ours, tensor(out))
    assert_close(h_n[0], tensor(h))
    assert_close(c_n[0], tensor(c))


@pytest.mark.parametrize("kind", ["LSTMCell", "OptimizedLSTMCell"])
@pytest.mark.parametrize("kept", [lambda state: state, lambda state: nnx.to_pure_dict(state)])
def test_nnx(kind: str, kept: Any) -> None:
    state, x, out = nnx_run(kind)
    assert_close(from_flax(kept(state))(x)[0], tensor(out))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("as_dict", [True, False])
def test_equinox(bias: bool, as_dict: bool) -> None:
    theirs = equinox.nn.LSTMCell(4, 3, use_bias=bias, key=jax.random.key(0))
    x = torch.randn(5, 4)
    given = vars(theirs) if as_dict else theirs
    ours, cell = from_equinox(given), from_equinox(given, kind=hs.LSTMCell)
    assert ours.bias is cell.bias is bias
    h = c = jnp.zeros(3)
    state = None
    for t in range(5):
        h, c = theirs(jnp.asarray(x[t]), (h, c))
        state = cell(x[t], state)
        assert_close(state[0], tensor(h))
        assert_close(state[1], tensor(c))
    out, (_, c_n) = ours(x)
    assert_close(out[-1], tensor(h))
    assert_close(c_n[0], tensor(c))


def compact() -> Any:
    class Compact(linen.Module):  # type: ignore[misc]  # a base that is known when it runs
        @linen.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            x = linen.RNN(linen.OptimizedLSTMCell(3))(x)
            x = linen.Bidirectional(linen.RNN(linen.LSTMCell(2)), linen.RNN(linen.LSTMCell(2)))(x)
            return linen.RNN(linen.GRUCell(3))(x)

    return Compact()


def both_ways() -> Any:
    return linen.Bidirectional(linen.RNN(linen.LSTMCell(3)), linen.RNN(linen.LSTMCell(3)))


def test_two_directions() -> None:
    model = both_ways()
    variables = linen_params(model)
    x = torch.randn(2, 5, 4)
    want = tensor(model.apply(variables, jnp.asarray(x)))
    assert_close(from_flax(variables)(x)[0], want)
    assert str(in_flax({"a": variables["params"]})).endswith("'a': LSTM(4, 3, batch_first=True, bidirectional=True)")
    forward, backward = (variables["params"][name] for name in ("forward_rnn", "backward_rnn"))
    assert_close(from_flax({"f": forward, "b": backward}, "f/cell", reverse="b/cell")(x)[0], want)
    halves = equinox.nn.LSTMCell(4, 3, key=jax.random.key(0)), equinox.nn.LSTMCell(4, 3, key=jax.random.key(1))
    ours = from_equinox(*halves, batch_first=True)
    assert ours.bidirectional
    assert torch.equal(ours.weight("l0r.W_ii"), tensor(halves[1].weight_ih[:3]))


def test_several_are_listed() -> None:
    variables = compact().init(jax.random.key(0), jnp.zeros((2, 5, 4)))
    assert sorted(str(in_flax(variables)).splitlines()) == [
        "  'LSTMCell_0': LSTM(3, 2, batch_first=True)",
        "  'LSTMCell_1': LSTM(3, 2, batch_first=True)",
        "  'OptimizedLSTMCell_0': LSTM(4, 3, batch_first=True)",
        "this tree of parameters holds 3 LSTMs",
    ]
    assert from_flax(variables, "LSTMCell_0", reverse="LSTMCell_1").bidirectional
    assert repr(from_flax(variables, "OptimizedLSTMCell_0", batch_first=False)) == "LSTM(4, 3)"
    assert isinstance(from_flax(variables, "LSTMCell_0", kind=hs.LSTMCell), hs.LSTMCell)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_types(dtype: str) -> None:
    theirs = equinox.nn.LSTMCell(4, 3, dtype=getattr(jnp, dtype), key=jax.random.key(0))
    ours = from_equinox(theirs)
    assert str(ours.weight("l0.W_ii").dtype) == f"torch.{dtype}"
    assert torch.equal(ours.weight("l0.W_ii").float(), tensor(theirs.weight_ih[:3].astype(jnp.float32)))


def test_values_are_copied_bit_for_bit() -> None:
    params = linen_params(linen.RNN(linen.LSTMCell(3)))["params"]["cell"]
    ours = from_flax(params)
    for gate in "ifgo":
        assert torch.equal(ours.weight(f"l0.W_i{gate}"), tensor(params[f"i{gate}"]["kernel"]).T)
        assert torch.equal(ours.weight(f"l0.W_h{gate}"), tensor(params[f"h{gate}"]["kernel"]).T)
        assert torch.equal(ours.weight(f"l0.b_h{gate}"), tensor(params[f"h{gate}"]["bias"]))
        assert not ours.weight(f"l0.b_i{gate}").any()


def test_other_cells_and_names_fail() -> None:
    variables = compact().init(jax.random.key(0), jnp.zeros((2, 5, 4)))
    with pytest.raises(ArgumentError, match="(?s)holds 3 LSTMs.*Choose one with name="):
        from_flax(variables)
    with pytest.raises(ArgumentError, match="'GRUCell_0' in this tree of parameters is not an LSTM: it is a GRU"):
        from_flax(variables, "GRUCell_0")
    with pytest.raises(NameUnknownError, match="no LSTM 'LSTMCell_2'"):
        from_flax(variables, "LSTMCell_0", reverse="LSTMCell_2")
    gru = nnx.RNN(nnx.GRUCell(4, 3, rngs=nnx.Rngs(0)))
    params: Any = nnx.state(gru, nnx.Param)
    with pytest.raises(NameUnknownError, match="'cell' is not an LSTM: it is a GRU"):
        from_flax(params)
    with pytest.raises(NameUnknownError, match="holds no LSTMs"):
        from_flax({"dense": {"kernel": np.zeros((2, 2))}})
    with pytest.raises(ArgumentTypeError, match=r"got RNN; for an nnx module, pass nnx.state\(module, nnx.Param\)"):
        from_flax(gru)
    two = {"a": linen_params(both_ways())["params"], "b": linen_params(linen.RNN(linen.LSTMCell(3)))["params"]}
    with pytest.raises(ArgumentError, match="reverse= joins two cells, but one of these is a Bidirectional"):
        from_flax(two, "a", reverse="b/cell")
    with pytest.raises(ArgumentError, match="an LSTMCell has one layer, one direction"):
        from_flax(two, "a", kind=hs.LSTMCell)


def test_arrays_that_do_not_fit_fail() -> None:
    params = linen_params(linen.RNN(linen.LSTMCell(3)))["params"]["cell"]
    without = {name: part for name, part in params.items() if name != "hg"}
    with pytest.raises(NameUnknownError, match="hg/kernel, hg/bias missing from"):
        from_flax(without)
    with pytest.raises(ShapeError, match=r"ig/kernel of flax.linen has shape \[4, 2\], expected \[C, H\] = \[4, 3\]"):
        from_flax({**params, "ig": {"kernel": jnp.zeros((4, 2))}})
    with pytest.raises(ArgumentTypeError, match="ii/kernel must be an array of numbers, got str"):
        from_flax({**params, "ii": {"kernel": "text"}})


def test_other_modules_of_equinox_fail() -> None:
    for module in (
        equinox.nn.GRUCell(4, 3, key=jax.random.key(0)),
        equinox.nn.Linear(4, 3, key=jax.random.key(0)),
        {"weight_ih": np.zeros((12, 4))},
    ):
        with pytest.raises(ArgumentTypeError, match="expected an Equinox LSTMCell, or its arrays"):
            from_equinox(module)
    with pytest.raises(ShapeError, match="weight_hh of Equinox has shape"):
        from_equinox({"weight_ih": np.zeros((12, 4)), "weight_hh": np.zeros((9, 3))})
