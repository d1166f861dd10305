"""Weights for other frameworks give our numbers there, and come back unchanged."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize, prune

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.interop.export_arrays import equinox_weights, flax_weights, keras_weights, onnx_weights
from hiddenstate.interop.jax_arrays import from_equinox, from_flax
from hiddenstate.interop.keras.importer import from_keras
from hiddenstate.interop.onnx.importer import from_onnx
from interop.frameworks import equinox, jax, jnp, linen, nnx
from interop.keras.keras_models import layers, output_of
from interop.onnx.onnx_models import lstm_node, model_of, run
from support import SIZES, assert_close

# Keras on torch passes arrays to NumPy that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning")


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


@given(SIZES, SIZES, st.booleans(), st.booleans())
def test_keras(C: int, H: int, bias: bool, bidirectional: bool) -> None:
    ours = hs.LSTM(C, H, bias=bias, bidirectional=bidirectional, batch_first=True)
    theirs = layers.LSTM(H, return_sequences=True, use_bias=bias)
    theirs = layers.Bidirectional(theirs) if bidirectional else theirs
    theirs.build((None, None, C))
    theirs.set_weights(keras_weights(ours)[0])
    x = torch.randn(2, 4, C)
    assert_close(ours(x)[0], output_of(theirs, x))
    assert_close(from_keras(theirs)(x)[0], ours(x)[0])


@given(SIZES, SIZES, st.booleans(), st.sampled_from([1, 2]))
def test_onnx(C: int, H: int, bias: bool, D: int) -> None:
    ours = hs.LSTM(C, H, bias=bias, bidirectional=D == 2)
    arrays = onnx_weights(ours)[0]
    model = model_of([lstm_node(arrays, direction="bidirectional" if D == 2 else "forward")], arrays, ["lstm_Y"])
    x = torch.randn(4, 2, C)
    assert_close(ours(x)[0], tensor(run(model, x)[0]).transpose(1, 2).reshape(4, 2, -1))
    for key, value in from_onnx(model).state_dict().items():
        assert torch.equal(value, ours.state_dict()[key])


@pytest.mark.parametrize("bias", [True, False])
def test_linen(bias: bool) -> None:
    x = torch.randn(2, 4, 5)
    ours = hs.LSTM(5, 3, bias=bias, batch_first=True)
    params = {"params": flax_weights(ours)[0]}
    for kind in (linen.LSTMCell, linen.OptimizedLSTMCell):
        assert_close(ours(x)[0], tensor(linen.RNN(kind(3)).apply(params, jnp.asarray(x))))
    assert_close(from_flax(params)(x)[0], ours(x)[0])


def test_linen_both_ways() -> None:
    x = torch.randn(2, 4, 5)
    ours = hs.LSTM(5, 3, batch_first=True, bidirectional=True)
    params = {"params": flax_weights(ours)[0]}
    theirs = linen.Bidirectional(linen.RNN(linen.LSTMCell(3)), linen.RNN(linen.LSTMCell(3)))
    assert_close(ours(x)[0], tensor(theirs.apply(params, jnp.asarray(x))))
    assert_close(from_flax(params)(x)[0], ours(x)[0])


@pytest.mark.parametrize(("kind", "cell"), [("nnx", "LSTMCell"), ("nnx_optimized", "OptimizedLSTMCell")])
def test_nnx(kind: Any, cell: str) -> None:
    x = torch.randn(2, 4, 5)
    ours = hs.LSTM(5, 3, batch_first=True)
    rnn = nnx.RNN(getattr(nnx, cell)(5, 3, rngs=nnx.Rngs(0)))
    state: Any = nnx.state(rnn, nnx.Param)
    nnx.replace_by_pure_dict(state, flax_weights(ours, kind)[0])
    nnx.update(rnn, state)
    assert_close(ours(x)[0], tensor(rnn(jnp.asarray(x))))
    assert_close(from_flax(state)(x)[0], ours(x)[0])


@pytest.mark.parametrize("bias", [True, False])
def test_equinox(bias: bool) -> None:
    ours = hs.LSTMCell(5, 3, bias=bias)
    arrays = equinox_weights(ours)[0][0]
    theirs = equinox.nn.LSTMCell(5, 3, use_bias=bias, key=jax.random.key(0))
    own = [jnp.asarray(array) for array in arrays.values()]
    theirs = equinox.tree_at(lambda cell: [getattr(cell, name) for name in arrays], theirs, own)
    x = torch.randn(5)
    for got, want in zip(theirs(jnp.asarray(x), (jnp.zeros(3), jnp.zeros(3))), ours(x), strict=True):
        assert_close(tensor(got), want)
    for got, want in zip(from_equinox(theirs, kind=hs.LSTMCell)(x), ours(x), strict=True):
        assert_close(got, want)


def test_every_layer_is_there() -> None:
    lstm = hs.LSTM(5, 3, num_layers=2, bidirectional=True)
    assert [[array.shape for array in layer] for layer in keras_weights(lstm)] == [
        [(5, 12), (3, 12), (12,)] * 2,
        [(6, 12), (3, 12), (12,)] * 2,
    ]
    assert [layer["W"].shape for layer in onnx_weights(lstm)] == [(2, 12, 5), (2, 12, 6)]
    assert [list(layer) for layer in flax_weights(lstm)] == [["forward_rnn", "backward_rnn"]] * 2
    assert [len(layer) for layer in equinox_weights(lstm)] == [2, 2]


def test_types_are_kept_and_arrays_are_copies() -> None:
    for dtype in ("float64", "float16", "bfloat16"):
        lstm = hs.LSTM(5, 3, dtype=getattr(torch, dtype))
        array = equinox_weights(lstm)[0][0]["weight_ih"]
        assert array.dtype.name == dtype
        before = lstm.weight("l0.W_ii").clone()
        array[:] = 0
        assert torch.equal(lstm.weight("l0.W_ii"), before)


def test_projections_and_unknown_kinds_fail() -> None:
    projected = hs.from_torch(nn.LSTM(5, 3, proj_size=2))
    for export in (keras_weights, flax_weights, equinox_weights, onnx_weights):
        with pytest.raises(ArgumentError, match=r"has no projection .*, but this LSTM has one \(proj_size=2\)"):
            export(projected)
    with pytest.raises(ArgumentError, match="kind must be one of linen, nnx, nnx_optimized, got 'haiku'"):
        flax_weights(hs.LSTM(5, 3), "haiku")  # type: ignore[arg-type]


class Shifted(nn.Module):
    """Makes a different weight, and in training mode a new one at each call."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + torch.rand(()) if self.training else weight + 1


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_weights_that_are_computed(name: str) -> None:
    ours = hs.LSTM(4, 3)
    parametrize.register_parametrization(ours, name, Shifted())
    params = flax_weights(ours)[0]
    assert ours.training
    theirs = [
        from_keras(keras_weights(ours)[0]),
        from_flax({"params": params}),
        from_equinox(equinox_weights(ours)[0][0]),
        from_onnx(model_of([lstm_node(onnx_weights(ours)[0])], onnx_weights(ours)[0], ["lstm_Y"])),
    ]
    x = torch.randn(5, 2, 4)
    want = ours.eval()(x)[0]
    for lstm in theirs:
        lstm.batch_first = False
        assert_close(lstm(x)[0], want)


def test_what_has_hooks_and_what_is_not_ours_fails() -> None:
    pruned = hs.LSTM(4, 3)
    prune.random_unstructured(pruned, "weight_hh_l0", 0.5)
    for function in (keras_weights, flax_weights, equinox_weights, onnx_weights):
        with pytest.raises(ArgumentError, match="make pruning or weight norm permanent"):
            function(pruned)
        with pytest.raises(ArgumentTypeError, match=r"hs\.from_torch makes one"):
            function(nn.LSTM(4, 3))  # type: ignore[arg-type]
