"""GRUs and plain RNNs of other frameworks: their weights give their numbers in our layers, and vice versa."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import hiddenstate as hs
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.interop.export_arrays import equinox_weights, flax_weights, keras_weights, onnx_weights
from interop.frameworks import equinox, jax, jnp, linen, nnx
from interop.keras.keras_models import keras, layers, output_of, randomise, saved
from interop.onnx.onnx_models import model_of, run
from support import assert_close, thinned

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__:DeprecationWarning")

KINDS: list[tuple[Any, dict[str, Any]]] = [(hs.GRU, {}), (hs.RNN, {}), (hs.RNN, {"nonlinearity": "relu"})]
kinds = pytest.mark.parametrize(("kind", "options"), KINDS, ids=["gru", "tanh", "relu"])


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def assert_same_parameters(got: nn.Module, want: nn.Module) -> None:
    assert got.state_dict().keys() == want.state_dict().keys()
    for name, value in got.state_dict().items():
        assert torch.equal(value, want.state_dict()[name]), name


@kinds
@pytest.mark.parametrize("bias", [True, False])
def test_state_dict(kind: Any, options: dict[str, Any], bias: bool, tmp_path: Path) -> None:
    ours = kind(4, 3, num_layers=2, bidirectional=True, bias=bias, **options)
    model = nn.ModuleDict({"lstm": nn.LSTM(4, 3), "other": ours.to_torch(), "cell": hs.LSTMCell(4, 3)})
    torch.save(model.state_dict(), tmp_path / "model.pt")
    got = hs.from_state_dict(tmp_path / "model.pt", kind=kind, **options)
    assert_same_parameters(got, ours)
    assert isinstance(got, kind)
    x = torch.randn(5, 2, 4)
    assert torch.equal(got(x)[0], ours(x)[0])
    assert list(hs.find_lstms(model.state_dict(), kind=kind)) == ["other"]
    assert list(hs.find_lstms(model.state_dict())) == ["lstm", "cell"]
    cell_kind: Any = {hs.GRU: hs.GRUCell, hs.RNN: hs.RNNCell}[kind]
    cell = cell_kind(4, 3, bias=bias, **options)
    made: Any = hs.from_state_dict(cell.state_dict(), kind=cell_kind, **options)
    assert type(made) is cell_kind
    assert torch.equal(made(x[0]), cell(x[0]))
    with pytest.raises(ArgumentError, match="has one layer, one direction and no projection, but this is"):
        hs.from_state_dict(ours.state_dict(), kind=cell_kind)


def test_int8_weights_stay_int8() -> None:
    ours = hs.GRU(4, 3, weights="int8")
    got = hs.from_state_dict(ours.state_dict(), kind=hs.GRU)
    assert got.weight_format == "int8"
    assert_same_parameters(got, ours)


def test_a_class_that_is_no_kind_fails() -> None:
    with pytest.raises(ArgumentTypeError, match="kind must be one of hs.LSTM, hs.LSTMCell, hs.GRU.*got .*Linear"):
        hs.from_state_dict({}, kind=nn.Linear)  # type: ignore[type-var]
    with pytest.raises(ArgumentError, match="Unknown nonlinearity 'gelu'"):
        hs.from_state_dict(nn.RNN(4, 3).state_dict(), kind=hs.RNN, nonlinearity="gelu")


@kinds
@pytest.mark.parametrize("form", ["sequence", "step"])
def test_onnx_files(kind: Any, options: dict[str, Any], form: Any, tmp_path: Path) -> None:
    """The export is run in onnxruntime and compared before the file is kept; reading it gives the same weights."""
    D = 1 if form == "step" else 2
    ours = kind(4, 3, num_layers=2, bidirectional=D == 2, **options)
    path = tmp_path / "layer.onnx"
    hs.export_onnx(ours, path, form=form, lengths=form == "sequence")
    if form == "sequence":
        assert_same_parameters(hs.from_onnx(path, kind=kind), ours)
        hs.export_onnx(ours.to_torch(), path, states=False)
    got = hs.from_onnx(
        path, kind=kind, join=form == "sequence", name=None if D == 2 else "l0.h_n/" + ours.sizes.kind.label
    )
    assert type(got) is kind
    assert got.sizes.cell == ours.sizes.cell


@pytest.mark.parametrize(("kind", "options"), [KINDS[0], KINDS[2]], ids=["gru", "relu"])
def test_models_in_onnx(kind: Any, options: dict[str, Any], tmp_path: Path) -> None:
    """Both of torch's exporters write the operator for our layer, with dynamic sizes."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = kind(4, 3, bidirectional=True, **options), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            out, state = self.layer(x)
            return self.head(out), state

    model = Model()
    path = tmp_path / "model.onnx"
    hs.export_onnx(model, path, (torch.randn(5, 2, 4),))
    assert_same_parameters(hs.from_onnx(path, kind=kind), model.layer)
    x = torch.randn(5, 2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated, and warns about everything that it traces
        torch.onnx.export(model.eval(), (x,), str(path), dynamo=False, opset_version=17)
    assert_same_parameters(hs.from_onnx(path, kind=kind), model.layer)
    assert_close(tensor(run(onnx.load(path), x)[0]), model(x)[0])


def test_an_onnx_gru() -> None:
    """Written by hand."""
    ours = hs.GRU(4, 3, bidirectional=True)
    arrays = onnx_weights(ours)[0]
    node = onnx.helper.make_node(
        *("GRU", ["X", "W", "R", "B"], ["Y", "Y_h"], "gru"),
        hidden_size=3,
        direction="bidirectional",
        linear_before_reset=1,
    )
    model, x = model_of([node], arrays, ["Y"]), torch.randn(5, 2, 4)
    got = hs.from_onnx(model, kind=hs.GRU)
    theirs = tensor(run(model, x)[0]).transpose(1, 2).reshape(5, 2, -1)
    assert_close(got(x)[0], theirs)
    assert_same_parameters(got, ours)


def test_an_onnx_gru_that_resets_first_fails() -> None:
    arrays = onnx_weights(hs.GRU(4, 3))[0]
    model = model_of([onnx.helper.make_node("GRU", ["X", "W", "R", "B"], ["Y"], "gru", hidden_size=3)], arrays, ["Y"])
    with pytest.raises(ArgumentError, match=r"this GRU of ONNX \(linear_before_reset=0\) multiplies the state by"):
        hs.from_onnx(model, kind=hs.GRU)
    with pytest.raises(
        hs.errors.NameUnknownError, match="'gru' is not an LSTM: it is of type GRU. kind=hs.GRU reads it"
    ):
        hs.from_onnx(model)


@pytest.mark.parametrize(("cell", "bias", "D"), thinned(KINDS, [True, False], [1, 2]))
def test_keras(cell: tuple[Any, dict[str, Any]], bias: bool, D: int, tmp_path: Path) -> None:
    kind, options = cell
    activation = options.get("nonlinearity", "tanh")
    make = layers.GRU if kind is hs.GRU else layers.SimpleRNN
    theirs = make(3, activation=activation, return_sequences=True, use_bias=bias, name="r")
    theirs = layers.Bidirectional(theirs, name="r") if D == 2 else theirs
    model = randomise(keras.Sequential([keras.Input((None, 4)), theirs]))
    x = torch.randn(2, 5, 4)
    want = output_of(theirs, x)
    got = hs.from_keras(theirs, kind=kind)
    assert_close(got(x)[0], want)
    for ending in ("a.keras", "a.h5", "a.weights.h5"):
        file = hs.from_keras(saved(model, tmp_path / ending), kind=kind, **options)
        assert_same_parameters(file, got)
    assert_same_parameters(hs.from_keras(theirs.get_weights(), kind=kind, **options), got)
    ours = kind(4, 3, batch_first=True, bias=bias, bidirectional=D == 2, **options)
    theirs.set_weights(keras_weights(ours)[0])
    assert_close(output_of(theirs, x), ours(x)[0])


def test_a_keras_gru_that_resets_first_is_refused(tmp_path: Path) -> None:
    for bias in (True, False):
        gru = layers.GRU(3, reset_after=False, return_sequences=True, use_bias=bias, name="g")
        model = randomise(keras.Sequential([keras.Input((None, 4)), gru]))
        for source in (gru, saved(model, tmp_path / "a.keras")):
            with pytest.raises(ArgumentError, match=r"this GRU of Keras \(reset_after=False\) multiplies the state by"):
                hs.from_keras(source, kind=hs.GRU)


def test_other_activations_of_keras_fail() -> None:
    gru = layers.GRU(3, activation="relu", name="g")
    gru.build((None, None, 4))
    with pytest.raises(ArgumentError, match="the GRU 'g' has activation='relu', but an hs.GRU has tanh"):
        hs.from_keras(gru, kind=hs.GRU)
    rnn = layers.SimpleRNN(3, activation="selu", name="s")
    rnn.build((None, None, 4))
    with pytest.raises(ArgumentError, match="the RNN 's' has activation='selu', but an hs.RNN has tanh"):
        hs.from_keras(rnn, kind=hs.RNN)


@kinds
@pytest.mark.parametrize("library", ["linen", "nnx"])
def test_flax(kind: Any, options: dict[str, Any], library: Any) -> None:
    activation = {"activation_fn": jax.nn.relu} if options else {}
    x = torch.randn(2, 5, 4)
    ours = kind(4, 3, batch_first=True, **options)
    if library == "nnx" and kind is hs.GRU:
        with pytest.raises(ArgumentError, match="flax.nnx has no bias b_hn"):
            flax_weights(ours, library)
        with torch.no_grad():
            ours.weight("l0.b_hn").zero_()
    (params,) = flax_weights(ours, library)
    if library == "linen":
        make: Any = linen.GRUCell if kind is hs.GRU else linen.SimpleCell
        theirs = linen.RNN(make(3, **activation)).apply({"params": params}, jnp.asarray(x))
    else:
        make = nnx.GRUCell if kind is hs.GRU else nnx.SimpleCell
        module: Any = nnx.RNN(make(4, 3, rngs=nnx.Rngs(0), **activation))
        for part, arrays in params["cell"].items():
            for name, value in arrays.items():
                setattr(getattr(module.cell, part), name, nnx.Param(jnp.asarray(value)))
        theirs = module(jnp.asarray(x))
    assert_close(tensor(theirs), ours(x)[0])
    got = hs.from_flax(params, kind=kind, **options)
    assert_close(got(x)[0], ours(x)[0])
    both = hs.from_flax({"a": params["cell"], "b": params["cell"]}, "a", kind=kind, reverse="b", **options)
    assert both.bidirectional
    assert list(hs.find_lstms(params, kind=kind)) == ["cell"]
    assert not hs.find_lstms(params)


def test_equinox() -> None:
    for bias in (True, False):
        cell = equinox.nn.GRUCell(4, 3, use_bias=bias, key=jax.random.key(0))
        if bias:
            cell = equinox.tree_at(lambda c: (c.bias, c.bias_n), cell, (jnp.arange(9.0) / 9, jnp.arange(3.0) / 3))
        got = hs.from_equinox(cell, kind=hs.GRUCell)
        x, h = torch.randn(4), torch.randn(3)
        assert_close(got(x, h), tensor(cell(jnp.asarray(x), jnp.asarray(h))))
        arrays = equinox_weights(got)[0][0]
        assert_same_parameters(hs.from_equinox(arrays, kind=hs.GRUCell), got)
        for name, array in arrays.items():
            assert np.array_equal(array, np.asarray(getattr(cell, name)))
    with pytest.raises(ArgumentTypeError, match="expected an Equinox LSTMCell"):
        hs.from_equinox(equinox.nn.GRUCell(4, 3, key=jax.random.key(0)))
    with pytest.raises(ArgumentError, match="Equinox has no RNN"):
        hs.from_equinox({}, kind=hs.RNN)
