"""Keras' own recurrent layers on the engine: same numbers and gradients, and nothing is left behind."""

import copy
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import hiddenstate as hs
from hiddenstate.errors import ArgumentError
from support import draws

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed: its layers can't be accelerated", allow_module_level=True)

from interop.keras.keras_models import keras, keras_backend, layers, randomise

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
SIZES = (1, 3, 17, 65)
NAMES = ("lstm", "gru", "rnn")
KINDS = ("LSTM", "GRU", "SimpleRNN")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before, finders = [getattr(keras_backend, name) for name in NAMES], [*sys.meta_path]
    yield
    assert [getattr(keras_backend, name) for name in NAMES] == before
    assert sys.meta_path == finders


def built(kind: str, features: int = 4, **options: Any) -> Any:
    layer = getattr(layers, kind)(options.pop("units", 3), **options)
    layer.build((None, None, features))
    return randomise(layer)


def flat(result: Any) -> list[Tensor]:
    return [*result] if isinstance(result, (tuple, list)) else [result]


def exact_products(dtype: torch.dtype) -> Any:
    """Keras' own matrix product rounds float64 to float32, which its loop uses; torch's does not."""
    ops = sys.modules["keras.src.ops"]
    return mock.patch.object(ops, "matmul", torch.matmul) if dtype == torch.float64 else nullcontext()


def results_of(layer: Any, x: Tensor, states: Any = None, **options: Any) -> list[Tensor]:
    """The outputs, and the gradients of a loss for input, states and weights."""
    leaves = [x.clone().requires_grad_(), *(state.clone().requires_grad_() for state in states or ())]
    cell: Any = getattr(layer, "cell", None)
    if hasattr(cell, "seed_generator"):
        cell.seed_generator.state.assign([3, 0])
    torch.manual_seed(3)
    outs = flat(layer(leaves[0], initial_state=leaves[1:] or None, **options))
    torch.manual_seed(4)
    loss = torch.stack([(out * torch.randn(out.shape, dtype=out.dtype)).sum() for out in outs]).sum()
    weights = [weight.value for weight in layer.trainable_weights]
    grads = torch.autograd.grad(loss, [*leaves, *weights], allow_unused=True)
    return [out.detach() for out in outs] + [torch.zeros(()) if grad is None else grad for grad in grads]


def assert_same(layer: Any, x: Tensor, states: Any = None, served: bool = True, **options: Any) -> str:
    """A call gives what it gives without the engine; returns the report.

    Gradients are sums over steps and rows, in another order, so that they may differ by more of the last bits.
    """
    tolerance = {torch.float64: 1e-12, torch.bfloat16: 0.1, torch.float16: 0.01}.get(x.dtype, 1e-6)
    is_stateful = getattr(layer, "stateful", False)
    if is_stateful:
        layer.reset_state()
    with exact_products(x.dtype):
        want = results_of(layer, x, states, **options)
    if is_stateful:
        layer.reset_state()
    with hs.accelerate() as acceleration:
        got = results_of(layer, x, states, **options)
    outputs = len(want) - len(layer.trainable_weights) - 1 - len(states or ())
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        assert a.numel() == 0 or float((a - b).abs().max()) <= (tolerance if k < outputs else 5 * tolerance) * scale
    report = acceleration.report()
    assert report.share == float(served), report
    return str(report)


def mask_of(which: str, N: int, T: int) -> Tensor | None:
    if which == "none":
        return None
    if which == "holes":
        return torch.rand(N, T) < 0.6
    lengths = torch.randint(0, T + 1, (N, 1))
    right = torch.arange(T) < lengths
    return right if which == "right" else right.flip(1)


@settings(max_examples=draws(40), deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    sizes=st.tuples(*[st.sampled_from(SIZES)] * 4).filter(lambda sizes: sizes[0] * sizes[1] <= 300),
    flags=st.fixed_dictionaries(
        {name: st.booleans() for name in ("return_sequences", "return_state", "go_backwards", "use_bias")}
    ),
    mask=st.sampled_from(("none", "right", "left", "holes")),
    zeroes=st.booleans(),
    has_states=st.booleans(),
    dtype=st.sampled_from(("float32", "float64")),
    seed=st.integers(0, 10**6),
)
def test_any_configuration_gives_keras_own_numbers_and_gradients(
    kind: str,
    sizes: Any,
    flags: dict[str, bool],
    mask: str,
    zeroes: bool,
    has_states: bool,
    dtype: str,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    T, N, C, H = sizes
    layer = built(kind, C, units=H, dtype=dtype, **flags)
    layer.zero_output_for_mask = zeroes
    layer.set_weights([weight * 2 / max(C, H) ** 0.5 for weight in layer.get_weights()])
    x = torch.randn(N, T, C, dtype=getattr(torch, dtype))
    states = [torch.randn(N, H, dtype=x.dtype) for _ in layer.state_size] if has_states else None
    assert_same(layer, x, states, mask=mask_of(mask, N, T))


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_the_engine_supports(kind: str) -> None:
    torch.manual_seed(0)
    make, make_cell = getattr(layers, kind), getattr(layers, f"{kind}Cell")
    x, mask = torch.randn(3, 7, 4), torch.arange(7) < torch.tensor([[7], [4], [0]])
    for options in (
        {"unroll": True},
        {"dropout": 0.4},
        {"recurrent_dropout": 0.4},  # it is not drawn in inference
        {"stateful": True, "return_state": True, "use_cudnn": False},
    ):
        if kind == "SimpleRNN":
            options.pop("use_cudnn", None)
        layer = make(3, **options)
        layer.build((3, 7, 4))
        assert_same(randomise(layer), x)
    dropping = built(kind, dropout=0.4, return_sequences=True)
    assert_same(dropping, x, training=True)
    assert_same(dropping, x, training=True, mask=mask)
    for mode in ("concat", "sum", None):
        both = layers.Bidirectional(make(3, return_sequences=True, return_state=True), merge_mode=mode)
        both.build((None, None, 4))
        assert_same(randomise(both), x, mask=mask)
        assert_same(both, x)
    whole = layers.RNN(make_cell(3), return_sequences=True)
    whole.build((None, None, 4))
    assert_same(randomise(whole), x)
    assert_same(built("SimpleRNN", activation="relu"), x)


def test_bfloat16_in_mixed_precision_is_as_close_as_keras_own_rounding() -> None:
    for kind in KINDS:
        layer = built(kind, dtype="mixed_bfloat16", return_sequences=True)
        x = torch.randn(3, 7, 4)
        exact = built(kind, return_sequences=True)
        exact.set_weights(layer.get_weights())
        kerass = layer(x)
        with hs.accelerate() as acceleration:
            ours = layer(x)
        assert ours.dtype == torch.bfloat16
        assert acceleration.report().share == 1
        want = exact(x)
        assert (ours.float() - want).abs().max() <= 2 * (kerass.float() - want).abs().max() + 0.01
        ours.sum().backward()
        assert all(weight.value.grad is not None for weight in layer.trainable_weights)


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("LSTM", {"activation": "relu"}, {}, "Keras LSTM: activation is relu, not tanh"),
    ("SimpleRNN", {"activation": "sigmoid"}, {}, "Keras SimpleRNN: activation is sigmoid, not tanh or relu"),
    ("GRU", {"recurrent_activation": "hard_sigmoid"}, {}, "recurrent_activation is hard_sigmoid, not sigmoid"),
    ("GRU", {"reset_after": False}, {}, "Keras GRU: reset_after=False"),
    ("LSTM", {"recurrent_dropout": 0.5}, {"training": True}, "recurrent_dropout is drawn in training"),
    (
        "GRU",
        {"dropout": 0.5, "implementation": 1, "recurrent_dropout": 1e-9, "use_cudnn": False},
        {"training": True},
        "recurrent_dropout",
    ),
]


@pytest.mark.parametrize(("kind", "options", "call", "why"), REFUSED)
def test_other_calls_are_keras_own_and_the_report_gives_the_reason(
    kind: str, options: dict[str, Any], call: dict[str, Any], why: str
) -> None:
    torch.manual_seed(0)
    report = assert_same(built(kind, **options), torch.randn(2, 5, 4), served=False, **call)
    assert why in report
    assert "left to torch and Keras" in report


def test_float16_runs_on_the_engine_unless_the_call_is_short() -> None:
    for steps in (3, 4):
        layer = built("SimpleRNN", dtype="float16", recurrent_initializer="zeros")
        report = assert_same(layer, torch.randn(2, steps, 4, dtype=torch.float16), served=steps > 3)
        assert steps > 3 or "no native kernel for torch.float16" in report


def test_cells_of_other_classes_are_keras_own() -> None:
    class OwnCell(layers.LSTMCell):  # type: ignore[misc]
        pass

    for cell, name in ((OwnCell(3), "OwnCell"), (layers.StackedRNNCells([layers.LSTMCell(3)] * 1), "StackedRNNCells")):
        layer = layers.RNN(cell)
        layer.build((None, None, 4))
        assert f"its cell is a {name}" in assert_same(randomise(layer), torch.randn(2, 5, 4), served=False)


def test_wrong_input_raises_keras_own_error() -> None:
    layer = built("LSTM")
    errors = []
    for block in (None, hs.accelerate):
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes") as error, block() if block else nullcontext():
            layer(torch.randn(2, 5, 9))
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


def test_a_stateful_layer_trains_over_several_calls() -> None:
    torch.manual_seed(0)
    found = []
    for block in (False, True):
        torch.manual_seed(1)
        layer = layers.GRU(3, stateful=True, use_cudnn=False)
        layer.build((2, 5, 4))
        randomise(layer)
        with hs.accelerate() if block else nullcontext():
            sum(layer(torch.randn(2, 5, 4)).sum() for _ in range(3)).backward()
        found.append([weight.value.grad.clone() for weight in layer.trainable_weights] + [layer.states[0].value])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_second_derivatives_are_keras_own() -> None:
    torch.manual_seed(0)
    layer, x = built("LSTM", dtype="float64"), torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    found = []
    for block in (False, True):
        with hs.accelerate() if block else nullcontext():
            (slope,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
            found.append(torch.autograd.grad(slope.pow(2).sum(), x)[0])
    assert torch.allclose(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_fit_predict_and_saving_are_the_same() -> None:
    losses, predictions = [], []
    x = torch.randint(0, 5, (16, 9)).numpy()
    for block in (False, True):
        keras.utils.set_random_seed(5)
        model = keras.Sequential([layers.Embedding(5, 4, mask_zero=True), layers.LSTM(3), layers.Dense(1)])
        model.compile("adam", "mse")
        with hs.accelerate() if block else nullcontext():
            losses.append(model.fit(x, x[:, 0], epochs=2, verbose=0, shuffle=False).history["loss"])
            predictions.append(model.predict(x, verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert predictions[0] == pytest.approx(predictions[1], abs=1e-5)


def test_blocks_nest_in_any_order_and_reach_all_threads() -> None:
    layer, x = built("LSTM"), torch.randn(2, 5, 4)
    first, second = hs.accelerate(), hs.accelerate()
    first.undo()
    thread = threading.Thread(target=layer, args=(x,))
    thread.start()
    thread.join()
    assert sum(second.report().served.values()) == 1
    second.undo()
    layer(x)
    assert sum(second.report().served.values()) == 1


@pytest.mark.slow
def test_keras_may_be_imported_while_a_block_is_open() -> None:
    program = """if True:
        import os, sys, warnings
        os.environ["KERAS_BACKEND"] = "torch"
        import torch, hiddenstate as hs
        with hs.accelerate():
            assert "keras" not in sys.modules
        with hs.accelerate() as acceleration:
            import keras
            import keras.src.backend as backend
            ours = backend.lstm
            layer = keras.layers.LSTM(3)
            layer(torch.randn(2, 5, 4))
        assert acceleration.report().share == 1, acceleration.report()
        assert backend.lstm is not ours and backend.lstm is sys.modules["keras.src.backend.torch.rnn"].lstm
        assert "KerasWatcher" not in str(sys.meta_path)
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)


def test_traces_and_edits_see_layers_by_name() -> None:
    torch.manual_seed(0)
    bi = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="bi")
    model = keras.Sequential([keras.Input((None, 4)), layers.LSTM(3, return_sequences=True, name="enc"), bi])
    randomise(model)
    x = torch.randn(2, 5, 4)
    want = model(x)
    with hs.accelerate():
        run = hs.trace(model, x)
        assert set(run) == {"enc", "bi.forward_layer", "bi.backward_layer"}
        assert torch.allclose(run.out, want, atol=1e-6)
        enc, twin = model.get_layer("enc"), hs.from_keras(model.get_layer("enc"))
        own = twin.trace(x)
        for name in ("l0.i", "l0.f", "l0.g", "l0.o", "l0.c", "l0.h"):
            assert torch.allclose(run["enc"][name], own[name], atol=1e-6)
        out = run["enc"].out
        assert isinstance(out, Tensor)
        assert torch.allclose(out, enc(x), atol=1e-6)
        with hs.edit(model, hs.zero("enc.l0.f"), hs.scale("bi.backward_layer.l0.n", 0.5)):
            edited, again = enc(x), model(x)
        with twin.edit(hs.zero("l0.f")):
            assert torch.allclose(edited, twin(x)[0], atol=1e-6)
        assert not torch.allclose(again, want, atol=1e-3)
        assert torch.allclose(model(x), want, atol=1e-6)
        with pytest.raises(ArgumentError, match="call="):
            hs.edit(model, hs.zero("enc.l0.f", call=0))
    with pytest.raises(ArgumentError, match=r"accelerate"):
        hs.trace(model, x)


def test_an_edit_is_never_silently_left_out() -> None:
    layer = built("LSTM", recurrent_dropout=0.5)
    x = torch.randn(2, 5, 4)
    with hs.accelerate(), hs.edit(layer, hs.zero("l0.f")):
        layer(x)
        with pytest.raises(ArgumentError, match="can't be edited or traced: recurrent_dropout"):
            layer(x, training=True)


def test_a_trace_shows_the_steps_in_the_order_in_which_they_are_read() -> None:
    layer, x = built("LSTM", go_backwards=True), torch.randn(2, 5, 4)
    mask = torch.tensor([[True] * 5, [False, True, True, False, True]])
    with hs.accelerate():
        trace = hs.trace(layer, x, call=lambda value: layer(value, mask=mask))[""]
        assert trace.lengths is not None
        assert trace.lengths.tolist() == [5, 3]
        read = hs.from_keras(layer, flipped=True)
        want = read(x[1, [4, 2, 1]][None])[0]
    assert isinstance(trace.out, Tensor)
    assert torch.allclose(trace.out[1, :3], want[0], atol=1e-6)


def test_tokens_are_those_of_the_steps_that_a_layer_reads() -> None:
    layer, x = layers.Bidirectional(built("LSTM")), torch.randn(2, 3, 4)
    mask = torch.tensor([[True] * 3, [False, True, True]])
    with hs.accelerate():
        layer(x)
        for second in (["-", "a", "b"], ["a", "b"]):
            run = hs.trace(layer, x, call=lambda value: layer(value, mask=mask), tokens=[["a", "b", "c"], second])
            forward, backward = (run[f"{name}_layer"].tokens for name in ("forward", "backward"))
            assert (forward, backward) == (
                (("a", "b", "c"), ("a", "b", "-")[: len(second)]),
                (("c", "b", "a"), ("b", "a", "-")[: len(second)]),
            )


def test_copies_and_pickles_of_a_layer_hold_nothing_of_ours() -> None:
    layer, x = built("LSTM"), torch.randn(2, 5, 4)
    layer(x)
    before = set(vars(layer)), set(vars(layer.cell))
    with hs.accelerate():
        hs.trace(layer, x)
        with hs.edit(layer, hs.zero("l0.f")):
            layer(x)
    assert (set(vars(layer)), set(vars(layer.cell))) == before
    assert torch.allclose(copy.deepcopy(layer)(x), layer(x))
