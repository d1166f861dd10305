"""`check` of Keras' models: they stay as they are, and are not blamed for what Keras does."""

import importlib.util
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.errors import ArgumentError

if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed: its models can't be checked", allow_module_level=True)

from interop.keras.keras_models import keras, layers, model_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_a_model_whose_layers_are_in_lists_runs_as_before() -> None:
    model, x = model_of(layers.RNN([layers.LSTMCell(3), layers.LSTMCell(2)])), torch.randn(3, 7, 4)
    want = model(x)
    assert hs.check(model, x).findings == ()
    assert torch.equal(model(x), want)


def test_a_stateful_model_keeps_its_state_and_is_said_to_keep_it() -> None:
    stack = keras.Input(batch_shape=(3, None, 4)), layers.LSTM(3, stateful=True, name="memory"), layers.Dense(2)
    model, x = keras.Sequential([*stack]), torch.randn(3, 7, 4)
    model(x)
    before = [state.value.clone() for state in stack[1].states]
    (finding,) = hs.check(model, x).findings
    assert (finding.kind, finding.severity, finding.module) == ("state-kept", "note", "memory")
    assert "`reset_state`" in finding.shows
    assert all(map(torch.equal, before, (state.value for state in stack[1].states)))


def test_a_model_without_weights_is_refused_and_can_be_built_afterwards() -> None:
    x = torch.randn(3, 7, 4)
    for model in (keras.Sequential([layers.LSTM(3)]), torch.nn.Sequential(layers.LSTM(3))):
        with pytest.raises(ArgumentError, match="call the model once first"):
            hs.check(model, x)
        out: Any = model(x)
        assert out.shape == (3, 3)


def test_a_saturated_layer_is_found_by_its_gates_and_loses_no_rows() -> None:
    model, x = model_of(layers.LSTM(3), layers.Dense(2)), torch.randn(3, 7, 4)
    report = hs.check(model, x * 3000)
    assert [finding.kind for finding in report.mistakes] == ["gates"]
    assert "recurrent: Keras', seen from outside" in str(report)
    assert report.untested["cell-state-lost"] == "Keras' layers are seen from outside"
    assert hs.check(model, x).ok


def test_padding_that_is_read_is_to_be_masked() -> None:
    words, lengths = torch.tensor([[3, 1, 2, 4], [2, 3, 0, 0], [1, 0, 0, 0]]), torch.tensor([4, 2, 1])
    stacks = [[layers.Embedding(5, 4, mask_zero=masks), layers.LSTM(3)] for masks in (False, True)]
    wrong, right = (keras.Sequential([keras.Input((None,)), *stack]) for stack in stacks)
    (mistake,) = hs.check(wrong, words, lengths=lengths).mistakes
    assert "mask_zero=True" in mistake.change
    assert hs.check(right, words, lengths=lengths).ok
