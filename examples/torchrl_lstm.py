"""TorchRL's LSTMModule on the engine: rollouts with episodes inside run in one call, without being cut and padded.

    pip install torchrl
    python examples/torchrl_lstm.py

TorchRL marks the first step of an episode (``is_init``) and keeps a state for every step. In training, its ``pad``
backend cuts the rows there, and runs each piece from the state stored at its first step. That is `reset=` with
`reset_to=`, in the same layout.
"""

import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.modules import LSTMModule

import hiddenstate as hs


class EngineLSTM(LSTMModule):  # type: ignore[misc]
    """`LSTMModule` with our LSTM; takes the same arguments."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        hs.convert(self, inplace=True, strict=True)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Run one step as `LSTMModule` does; whole rollouts ``[..., T]`` in one call."""
        if not self.recurrent_mode:
            return super().forward(tensordict)
        rows = tensordict.reshape(-1, tensordict.shape[-1])
        x, h, c = (rows.get(key, None) for key in self.in_keys[:3])
        starts = rows["is_init"].squeeze(-1)
        stored = None if h is None else (h, c)
        begin = None if h is None else (h[:, 0].transpose(0, 1), c[:, 0].transpose(0, 1))
        out, state = self.lstm(x, begin, reset=starts, reset_to=stored)
        # As in LSTMModule, the state is stored at the last step, with zeros before it.
        at_end = [
            torch.nn.functional.pad(part.transpose(0, 1)[:, None], (0, 0, 0, 0, len(starts[0]) - 1, 0))
            for part in state
        ]
        for key, value in zip(self.out_keys, (out, *at_end), strict=True):
            tensordict.set(key, value.unflatten(0, tensordict.shape[:-1]))
        return tensordict


def rollout(N: int, T: int, module: LSTMModule) -> TensorDict:
    """Random rows of several episodes each, with a state at every step, as in a replay buffer."""
    shape = (module.lstm.num_layers, module.lstm.hidden_size)
    return TensorDict(
        {
            "observation": torch.randn(N, T, module.lstm.input_size),
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
    keys = {"in_keys": ["observation", "h", "c"], "out_keys": ["memory", ("next", "h"), ("next", "c")]}
    theirs = LSTMModule(input_size=8, hidden_size=32, num_layers=2, **keys)
    ours = EngineLSTM(input_size=8, hidden_size=32, num_layers=2, **keys)
    ours.load_state_dict(theirs.state_dict())
    data = rollout(16, 50, theirs)
    with set_recurrent_mode(True), torch.no_grad():
        want, got = (module(data.clone())["memory"] for module in (theirs, ours))
    gap = float((got - want).abs().max())
    print(f"{int(data['is_init'].sum())} episodes in 16 rows: outputs differ by at most {gap:.1e}")


if __name__ == "__main__":
    main()
