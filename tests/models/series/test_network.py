"""What is understood of a module is recomputed, and equals what it gives; any other module is taken as it is."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import hiddenstate as hs
from models.series import modules
from support import assert_close

NAMES = ["rain", "temperature", "flow"]


def targets(K: int) -> list[str]:
    return [f"target {k}" for k in range(K)]


class Chain(nn.Module):
    """Any network of the simple shape, written as users write it."""

    def __init__(self, kind: Any, *, before: list[Any], after: list[Any], how: str, **options: Any) -> None:
        super().__init__()
        self.before, self.rnn, self.after = (
            nn.Sequential(*before),
            kind(batch_first=True, **options),
            nn.Sequential(*after),
        )
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        out, state = self.rnn(self.before(x))
        h = state[0] if isinstance(state, tuple) else state
        if self.how == "last state":
            out = h[-1]
        elif self.how == "last step":
            out = out[:, -1]
        elif self.how == "flat":
            N, T, H = out.shape
            flat: Tensor = self.after(torch.tanh(out).reshape(N * T, H))
            return flat.view(N, T, -1)
        result: Tensor = self.after(out)
        return result[:, -1] if self.how == "last output" else result


ACTIVATIONS = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.SiLU(), nn.ELU(), nn.Softplus(), nn.LeakyReLU()


@pytest.mark.parametrize("how", ["every step", "last state", "last step", "last output", "flat"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, hs.RNN], ids=lambda kind: kind.__name__)
def test_networks_of_the_simple_shape(how: str, kind: Any) -> None:
    torch.manual_seed(0)
    for k, activation in enumerate(ACTIVATIONS):
        before = [nn.Linear(3, 5, bias=k % 2 == 0), activation, nn.Dropout(0.3)] if k % 3 else []
        after = [nn.Linear(6, 4), activation, nn.Linear(4, 2), *([activation] if k % 2 else [])]
        module = Chain(
            kind, before=before, after=after, how=how, input_size=5 if before else 3, hidden_size=6, num_layers=2
        )
        model = hs.series_model(module, NAMES, targets(2))
        network = model.network
        assert network is not None, model.understood
        x = torch.randn(11, 2, 3)
        assert_close(network(x)[0], model.forecast(x), model.understood)
        again = hs.series_model(network, NAMES, targets(2))
        assert again.form == network.form


@pytest.mark.parametrize("kind", [nn.GRU, hs.GRU])
def test_a_layer_with_weight_norm(kind: Any) -> None:
    model = hs.series_model(parametrizations.weight_norm(kind(3, 6), "weight_hh_l0"), NAMES, targets(6))
    assert model.network is not None
    x = torch.randn(5, 2, 3)
    assert_close(model.network(x)[0], model.forecast(x))


def test_a_layer_that_torch_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(hs.GRU, "_torch")
    model = hs.series_model(hs.GRU(3, 6), NAMES, targets(6))
    assert model.network is not None
    x = torch.randn(5, 2, 3)
    assert_close(model.network(x)[0], model.forecast(x))


def test_the_layers_are_named() -> None:
    model = hs.series_model(modules.LastStep(3, 1), NAMES, "flow")
    assert model.understood == ("Linear(3, 5) → relu → LSTM(5, 6) → last step → Linear(6, 4) → relu → Linear(4, 1)")
    direct = hs.series_model(modules.Direct(3, 2, 4), NAMES, targets(2))
    assert direct.understood == "GRU(3, 6) → last step → Linear(6, 8)"
    assert direct.network is not None
    x = torch.randn(5, 2, 3)
    assert_close(direct.network(x)[0], direct.forecast(x))
    assert hs.series_model(hs.LSTM(3, 2, bidirectional=True), NAMES, targets(4)).understood == "LSTM(3, 2)"
    double = hs.series_model(modules.PerStep(3, 1).double(), NAMES, "flow")
    assert double.network is not None
    assert_close(double.network(x.double())[0], double.forecast(x.double()))


class Residual(modules.PerStep):
    """Adds the last value, so that its linear layer gives only the change."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        out, state = super().forward(x, state)
        return x[..., 2:] + out, state


class Negative(modules.PerStep):
    """Gives the negative of what its linear layer gives."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        out, state = super().forward(x, state)
        return -out, state


class Normed(modules.PerStep):
    """Normalises its input in each window."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return super().forward(x - x.mean(-1, keepdim=True), state)


class SometimesNegative(modules.PerStep):
    """Gives another function of its layers where the first value is large."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        out, state = super().forward(x, state)
        return torch.where(x[..., :1].abs() > 3.5, -out, out), state


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Residual(3, 1), "its forecasts are not what 'linear' gives"),
        (Negative(3, 1), "its forecasts are not what 'linear' gives"),
        (Normed(3, 1), "'rnn' does not read what the input gives"),
        (SometimesNegative(3, 1), "its forecasts differ by up to"),
        (modules.ConvolutionInFront(3), "'rnn' does not read what the input gives"),
        (modules.EncoderDecoder(3), "recurrent layers are called 6 times"),
        (modules.Cells(3, 1), "recurrent layers are called 9 times"),
        (nn.Sequential(nn.Tanh(), hs.GRU(3, 1)), "'1' reads tanh of the input"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_modules_are_taken_as_they_are(module: nn.Module, reason: str) -> None:
    torch.manual_seed(1)
    model = hs.series_model(module, NAMES, "flow")
    assert model.network is None
    assert model.understood.startswith("taken as it is: ")
    assert reason in model.understood


def test_a_layer_that_reads_all_steps_is_not_the_simple_shape() -> None:
    model = hs.series_model(modules.Window(3, 1, T=12), NAMES, "flow", window=12)
    assert "'linear' does not read what 'rnn' gives" in model.understood


def test_an_activation_that_does_nothing_on_small_numbers_is_seen_on_larger_ones() -> None:
    for seed in (146, 240):  # of 300, those in which the head's relu does nothing on the first numbers
        torch.manual_seed(seed)
        model = hs.series_model(modules.LastStep(3, 1).eval(), ["rain", "temperature", "flow"], "flow")
        assert model.understood == "Linear(3, 5) → relu → LSTM(5, 6) → last step → Linear(6, 4) → relu → Linear(4, 1)"
