"""TorchRL's LSTMModule and GRUModule on the engine: rollouts with episodes inside run in one call, not cut and padded.

    pip install torchrl
    python examples/torchrl_lstm.py

TorchRL marks the first step of an episode (``is_init``) and keeps a state for every step. In training, its ``pad``
backend cuts the rows there, and runs each piece from the state stored at its first step. That is `reset=` with
`reset_to=`, in the same layout.
"""

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.modules import GRUModule, LSTMModule

import hiddenstate as hs


def run_rollout(module: LSTMModule | GRUModule, layer: hs.LSTM | hs.GRU, tensordict: TensorDictBase) -> TensorDictBase:
    """Run whole rollouts ``[..., T]`` in one call."""
    rows = tensordict.reshape(-1, tensordict.shape[-1])
    x, *stored = (rows.get(key, None) for key in module.in_keys if key != "is_init")
    starts = rows["is_init"].squeeze(-1)
    states = None if stored[0] is None else in_form(layer, stored)
    begin = None if stored[0] is None else in_form(layer, [state[:, 0].transpose(0, 1) for state in stored])
    out, final = layer(x, begin, reset=starts, reset_to=states)
    # As in TorchRL, the state is stored at the last step, with zeros before it.
    at_end = [
        torch.nn.functional.pad(part.transpose(0, 1)[:, None], (0, 0, 0, 0, len(starts[0]) - 1, 0))
        for part in ((final,) if isinstance(final, Tensor) else final)
    ]
    for key, value in zip(module.out_keys, (out, *at_end), strict=True):
        tensordict.set(key, value.unflatten(0, tensordict.shape[:-1]))
    return tensordict


def in_form(layer: hs.LSTM | hs.GRU, states: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """A state as the layer takes it: a GRU has only h."""
    return states[0] if isinstance(layer, hs.GRU) else tuple(states)


class EngineLSTM(LSTMModule):  # type: ignore[misc]
    """`LSTMModule` with our LSTM; takes the same arguments."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        hs.convert(self, inplace=True, strict=True)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Run one step as `LSTMModule` does; whole rollouts ``[..., T]`` in one call."""
        return run_rollout(self, self.lstm, tensordict) if self.recurrent_mode else super().forward(tensordict)


class EngineGRU(GRUModule):  # type: ignore[misc]
    """`GRUModule` with our GRU; takes the same arguments."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        hs.convert(self, inplace=True, strict=True)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Run one step as `GRUModule` does; whole rollouts ``[..., T]`` in one call."""
        return run_rollout(self, self.gru, tensordict) if self.recurrent_mode else super().forward(tensordict)


def rollout(N: int, T: int, layer: torch.nn.RNNBase) -> TensorDict:
    """Random rows of several episodes each, with a state at every step, as in a replay buffer."""
    shape = (layer.num_layers, layer.hidden_size)
    return TensorDict(
        {
            "observation": torch.randn(N, T, layer.input_size),
            "h": torch.randn(N, T, *shape),
            "c": torch.randn(N, T, *shape),
            "is_init": torch.rand(N, T, 1) < 0.1,
        },
        [N, T],
    )


def main() -> None:
    """Compare ours with theirs on a random rollout."""
    from torchrl.modules import set_recurrent_mode

    torch.manual_seed(0)
    for theirs_class, ours_class, states in ((LSTMModule, EngineLSTM, ["h", "c"]), (GRUModule, EngineGRU, ["h"])):
        keys = {"in_keys": ["observation", *states], "out_keys": ["memory", *(("next", name) for name in states)]}
        theirs = theirs_class(input_size=8, hidden_size=32, num_layers=2, **keys)
        ours = ours_class(input_size=8, hidden_size=32, num_layers=2, **keys)
        ours.load_state_dict(theirs.state_dict())
        data = rollout(16, 50, theirs.lstm if theirs_class is LSTMModule else theirs.gru)
        with set_recurrent_mode(True), torch.no_grad():
            want, got = (module(data.clone())["memory"] for module in (theirs, ours))
        gap = float((got - want).abs().max())
        name, episodes = theirs_class.__name__, int(data["is_init"].sum())
        print(f"{name}: {episodes} episodes in 16 rows: outputs differ by at most {gap:.1e}")


if __name__ == "__main__":
    main()
