"""Modules to stream: recurrent models as other libraries build them, and random ones."""

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import support
from hiddenstate.nn.cell import CELL_CLASSES
from hiddenstate.nn.torch_modules import sizes_of

LAYERS = (nn.LSTM, nn.GRU, nn.RNN, *support.LAYERS)
CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell, *CELL_CLASSES.values())


class VoiceActivity(nn.Module):
    """Of silero's shape: convolutions over the samples of each frame, an LSTM over frames, and a head."""

    def __init__(self, layer: Any = nn.LSTM, frame: int = 64) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 16, 8, stride=4), nn.ReLU(), nn.BatchNorm1d(16), nn.Conv1d(16, 16, 3, padding=1), nn.ReLU()
        )
        self.lstm = layer(16, 16, batch_first=True)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        self.frame = frame

    def forward(self, frames: Tensor) -> Tensor:
        """Return the probability of speech ``[N, T]`` in frames ``[N, T, samples]``."""
        N, T, samples = frames.shape
        encoded = self.encoder(frames.reshape(N * T, 1, samples)).mean(-1)
        return self.head(self.lstm(encoded.view(N, T, -1))[0])[..., 0]  # type: ignore[no-any-return]


class FrameByFrame(nn.Module):
    """As silero is called: one frame a call, a cell, and the state handed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(1, 16, 8, stride=4), nn.ReLU())
        self.rnn, self.head = nn.LSTMCell(16, 16), nn.Linear(16, 1)

    def forward(self, frame: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability ``[N, 1]`` for a frame ``[N, samples]``, and the state ``[2, N, H]``."""
        h, c = self.rnn(self.encoder(frame[:, None]).mean(-1), (state[0], state[1]))
        return self.head(h.relu()).sigmoid(), torch.stack([h, c])


class Memory(nn.Module):
    """As rsl_rl's: it keeps its state between the calls of a rollout."""

    def __init__(self, layer: Any = nn.LSTM) -> None:
        super().__init__()
        self.rnn = layer(5, 8, 2)
        self.hidden_state: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """Read one step ``[N, C]``, and return ``[1, N, H]``."""
        out, self.hidden_state = self.rnn(x.unsqueeze(0), self.hidden_state)
        return out  # type: ignore[no-any-return]


class RecurrentActor(nn.Module):
    """As rsl_rl's ``ActorCriticRecurrent`` acts."""

    def __init__(self, layer: Any = nn.LSTM) -> None:
        super().__init__()
        self.memory_a = Memory(layer)
        self.actor = nn.Sequential(nn.Linear(8, 8), nn.ELU(), nn.Linear(8, 2))

    def forward(self, observations: Tensor) -> Tensor:
        """Return the means of the actions ``[N, A]``."""
        return self.actor(self.memory_a(observations).squeeze(0))  # type: ignore[no-any-return]


class Acting(nn.Module):
    """What a stream of rsl_rl's actor needs: its layers, without the state that it keeps."""

    def __init__(self, policy: RecurrentActor) -> None:
        super().__init__()
        self.rnn, self.actor = policy.memory_a.rnn, policy.actor

    def forward(self, observations: Tensor) -> Tensor:
        """Return the means of the actions ``[N, A]``."""
        return self.actor(self.rnn(observations.unsqueeze(0))[0].squeeze(0))  # type: ignore[no-any-return]


class RecurrentPolicy(nn.Module):
    """As sb3-contrib's ``RecurrentActorCriticPolicy``: ``_process_sequence``, and heads for actions and values."""

    def __init__(self, layer: Any = nn.LSTM) -> None:
        super().__init__()
        self.lstm_actor, self.lstm_critic = layer(5, 8), layer(5, 8)
        self.action_net, self.value_net = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, obs: Tensor, lstm_states: Any, episode_starts: Tensor) -> Any:
        """Return the best actions, values and states."""
        pi, pi_states = self._process_sequence(obs, lstm_states[0], episode_starts, self.lstm_actor)
        vf, vf_states = self._process_sequence(obs, lstm_states[1], episode_starts, self.lstm_critic)
        return self.action_net(pi).argmax(-1), self.value_net(vf), (pi_states, vf_states)

    @staticmethod
    def _process_sequence(features: Tensor, lstm_states: Any, episode_starts: Tensor, lstm: Any) -> Any:
        n_seq = lstm_states[0].shape[1]
        features_sequence = features.reshape((n_seq, -1, lstm.input_size)).swapaxes(0, 1)
        episode_starts = episode_starts.reshape((n_seq, -1)).swapaxes(0, 1)
        if torch.all(episode_starts == 0.0):
            lstm_output, lstm_states = lstm(features_sequence, lstm_states)
            return torch.flatten(lstm_output.transpose(0, 1), start_dim=0, end_dim=1), lstm_states
        outputs = []
        for step, episode_start in zip(features_sequence, episode_starts, strict=True):
            goes_on = (1.0 - episode_start).view(1, n_seq, 1)
            hidden, lstm_states = lstm(step.unsqueeze(0), (goes_on * lstm_states[0], goes_on * lstm_states[1]))
            outputs += [hidden]
        return torch.flatten(torch.cat(outputs).transpose(0, 1), start_dim=0, end_dim=1), lstm_states


class Forecaster(nn.Module):
    """Two layers, a forecast of three steps after the last one, and the state."""

    def __init__(self, layer: Any = nn.LSTM) -> None:
        super().__init__()
        self.rnn, self.head = layer(2, 8, 2, batch_first=True, dropout=0.2), nn.Linear(8, 3)

    def forward(self, x: Tensor, state: Any = None) -> dict[str, Any]:
        """Return the forecast ``[N, 3]``, and the state."""
        out, state = self.rnn(x, state)
        return {"forecast": self.head(out[:, -1]), "state": state}


class Decoder(nn.Module):
    """Tacotron's decoder cells, teacher-forced: a prenet, two cells one above the other, projections."""

    def __init__(self, cell: Any = nn.LSTMCell) -> None:
        super().__init__()
        self.prenet = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.attention_rnn, self.decoder_rnn = cell(8, 10), cell(10, 9)
        self.projection, self.gate = nn.Linear(9, 6), nn.Linear(9, 1)

    def forward(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames ``[T, N, 6]`` and stop scores ``[T, N]``."""
        lower = upper = None
        frames, gates = [], []
        for mel in mels:
            lower = self.attention_rnn(self.prenet(mel), lower)
            hidden = lower[0] if isinstance(lower, tuple) else lower
            upper = self.decoder_rnn(hidden, upper)
            hidden = upper[0] if isinstance(upper, tuple) else upper
            frames.append(self.projection(hidden))
            gates.append(self.gate(hidden)[:, 0])
        return torch.stack(frames), torch.stack(gates)


class RandomStreamable(nn.Module):
    """Layers, cells in loops, causal convolutions and parts that work step by step, in an order that a seed draws."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        draw = self.draw = random.Random(seed)
        self.batch_first = draw.random() < 0.7
        width = self.width = draw.choice((1, 3, 5))
        self.kinds: list[str] = []
        parts: list[nn.Module] = []
        for place in range(draw.randint(1, 4)):
            kind = draw.choice(("layer", "layer", "cell", "pad", "chomp") if place else ("layer", "cell", "pad"))
            new = draw.choice((1, 4, 7))
            if kind == "layer":
                part: Any = draw.choice(LAYERS)(width, new, draw.choice((1, 1, 2)), batch_first=draw.random() < 0.5)
            elif kind == "cell":
                part = draw.choice(CELLS)(width, new)
            else:
                kernel, dilation = draw.choice((1, 2, 3)), draw.choice((1, 2))
                padding = dilation * (kernel - 1) if kind == "chomp" else 0
                part = nn.Conv1d(width, new, kernel, dilation=dilation, padding=padding)
            parts += [
                part,
                draw.choice((nn.Identity(), nn.ReLU(), nn.LayerNorm(new), nn.Dropout(0.5), nn.Linear(new, new))),
            ]
            self.kinds += [kind, "step"]
            width = new
        self.parts = nn.ModuleList(parts)
        self.learned = nn.Parameter(torch.randn(2, 1, 7))
        self.head, self.ends = nn.Linear(width, 2), draw.choice(("steps", "steps", "tuple", "dict", "last"))
        self.begins_learned = draw.random() < 0.3
        self.eval()

    def example(self, N: int, T: int) -> Tensor:
        """An input of N rows of T steps."""
        return torch.randn((N, T, self.width) if self.batch_first else (T, N, self.width))

    @property
    def layout(self) -> str:
        """The order of the input's axes."""
        return "NTC" if self.batch_first else "TNC"

    def forward(self, x: Tensor) -> Any:
        """Run the parts over ``[N, T, C]``."""
        x = x if self.batch_first else x.transpose(0, 1)
        for kind, part in zip(self.kinds, self.parts, strict=True):
            x = part(x) if kind == "step" else getattr(self, kind)(part, x)
        y = self.head(x)
        y = y if self.batch_first else y.transpose(0, 1)
        last = y[:, -1] if self.batch_first else y[-1]
        return {"steps": y, "tuple": (y, None, last), "dict": {"y": y, "last": last}, "last": last}[self.ends]

    def first(self, part: Any, N: int) -> Any:
        """The initial state of a layer: none, or a learned one."""
        if not self.begins_learned:
            return None
        L, H = getattr(part, "num_layers", 1), part.hidden_size
        state = self.learned[:L, :, :H].expand(L, N, H).contiguous()
        state = state if hasattr(part, "num_layers") else state[0]
        return (state, state.tanh()) if len(sizes_of(part).kind.carried) > 1 else state

    def layer(self, part: Any, x: Tensor) -> Tensor:
        """Run a layer."""
        out = part(x if part.batch_first else x.transpose(0, 1), self.first(part, len(x)))[0]
        return out if part.batch_first else out.transpose(0, 1)  # type: ignore[no-any-return]

    def cell(self, part: Any, x: Tensor) -> Tensor:
        """Run a cell in a loop."""
        state, outs = self.first(part, len(x)), []
        for t in range(x.shape[1]):
            state = part(x[:, t], state)
            outs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outs, 1)

    def pad(self, part: Any, x: Tensor) -> Tensor:
        """Run a convolution on padded input."""
        reach = part.dilation[0] * (part.kernel_size[0] - 1)
        return part(functional.pad(x.transpose(1, 2), (reach, 0))).transpose(1, 2)  # type: ignore[no-any-return]

    def chomp(self, part: Any, x: Tensor) -> Tensor:
        """Run a convolution that pads both ends, and cut the end off."""
        return part(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)  # type: ignore[no-any-return]
