"""Streams a TorchScript model: its LSTM cell becomes a layer of ours, and its compiled parts run as they are.

The model is untrained, and has the form of Silero VAD: convolutions turn a chunk of sound into features, an LSTM cell
carries the state from chunk to chunk, and a convolution gives the probability of speech.
"""

import io

import torch
from torch import Tensor, nn

import hiddenstate as hs

CHUNK, FEATURES = 512, 128


class Decoder(nn.Module):
    """The recurrent part."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTMCell(FEATURES, FEATURES)
        self.decoder = nn.Sequential(nn.Dropout(0.1), nn.ReLU(), nn.Conv1d(FEATURES, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read features ``[N, 128]`` in a state ``[2, N, 128]``; return the probability ``[N]`` and the next state."""
        h, c = self.rnn(x, (state[0], state[1]))
        return self.decoder(h[..., None])[:, 0, 0], torch.stack([h, c])


class Detector(nn.Module):
    """A detector of speech."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, 64, 256, stride=128), nn.ReLU(), nn.Conv1d(64, FEATURES, 3), nn.ReLU()
        )
        self.decoder = Decoder()

    def forward(self, chunk: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Read a chunk ``[N, 512]`` in a state; return the probability of speech and the next state."""
        probability, state = self.decoder(self.encoder(chunk[:, None])[..., 0], state)
        return probability, state


def published() -> torch.jit.ScriptModule:
    """The model as others get it: a file of TorchScript, here in memory."""
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(Detector().eval()), file)
    file.seek(0)
    model: torch.jit.ScriptModule = torch.jit.load(file)
    return model


@torch.no_grad()
def main(chunks: int = 50) -> float:
    """Compare a stream with the model itself, and return the largest difference of a probability."""
    torch.manual_seed(0)
    model = published()
    lstm = hs.from_state_dict(model.state_dict(), prefix="decoder.rnn")
    stream, state, gaps = lstm.stream(), torch.zeros(2, 1, FEATURES), []
    for chunk in torch.randn(chunks, 1, CHUNK):
        want, state = model(chunk, state)
        h = stream.step(model.encoder(chunk[:, None])[..., 0])
        got = model.decoder.decoder(h[..., None])[:, 0, 0]
        gaps.append(float((got - want).abs().max()))
    print(f"{chunks} chunks as a stream: the probabilities differ from the model's own by at most {max(gaps):.0e}")
    return max(gaps)


if __name__ == "__main__":
    main()
