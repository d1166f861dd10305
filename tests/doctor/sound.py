"""Sound models: architectures of other libraries, built in their published shape, and our own.

Other libraries are not installed for this: each class has the layers and the order of operations that its library's
model has, with small sizes. `SOUND` lists them with the library and what `check` is called with.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import hiddenstate as hs

N, T, C, H, V = 6, 14, 5, 8, 30
LENGTHS = torch.tensor([14, 9, 4, 11, 14, 7])


class Sound(NamedTuple):
    """A sound model: the library whose model it is, "" for our own, and how to make it and its example."""

    name: str
    library: str
    build: Callable[[], tuple[nn.Module, tuple[Any, ...], dict[str, Any]]]


SOUND: list[Sound] = []


def sound(name: str, library: str = "", **options: Any) -> Callable[[Any], Any]:
    """Add a function, or a class called with options, that makes a model with the arguments of `check`."""

    def add(make: Any) -> Any:
        SOUND.append(Sound(name, library, lambda: make(**options)))
        return make

    return add


def tokens(*sizes: int, low: int = 1) -> Tensor:
    """Return random tokens."""
    return torch.randint(low, V, sizes or (N, T))


def padded_tokens() -> Tensor:
    """Return tokens with zeros after the end of each row."""
    return tokens().masked_fill(torch.arange(T) >= LENGTHS[:, None], 0)


def padded_numbers(features: int = C) -> Tensor:
    """Return numbers with zeros after the end of each row."""
    return torch.randn(N, T, features).masked_fill((torch.arange(T) >= LENGTHS[:, None])[..., None], 0)


# --- torch's own examples and tutorials ------------------------------------------------------------------------------


class WordModel(nn.Module):
    """The language model of pytorch/examples: time first, returns the scores and the state."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)
        self.encoder = nn.Embedding(V, H)
        self.rnn = getattr(nn, kind)(H, H, 2, dropout=0.2)
        self.decoder = nn.Linear(H, V)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor, hidden: Any) -> Any:
        """Read [T, N]."""
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, V)
        return functional.log_softmax(decoded, dim=1), hidden


@sound("word language model, LSTM", "pytorch/examples", kind="LSTM")
@sound("word language model, GRU", "pytorch/examples", kind="GRU")
@sound("word language model, RNN", "pytorch/examples", kind="RNN")
def _(kind: str) -> Any:
    h = torch.zeros(2, N, H)
    return WordModel(kind), (tokens(T, N), (h, h.clone()) if kind == "LSTM" else h), {}


@sound("sine waves, two LSTMCells", "pytorch/examples")
class SineWaves(nn.Module):
    """Two cells in a loop over a series, which then go on from their own forecasts."""

    def __new__(cls) -> Any:
        model = super().__new__(cls)
        model.__init__()  # type: ignore[misc]
        return model, (torch.randn(N, T), 3), {}

    def __init__(self) -> None:
        super().__init__()
        self.lstm1, self.lstm2, self.linear = nn.LSTMCell(1, H), nn.LSTMCell(H, H), nn.Linear(H, 1)

    def forward(self, x: Tensor, future: int = 0) -> Any:
        """Read [N, T]."""
        outputs = []
        h1 = c1 = h2 = c2 = torch.zeros(x.size(0), H)
        for part in x.split(1, dim=1):
            h1, c1 = self.lstm1(part, (h1, c1))
            h2, c2 = self.lstm2(h1, (h2, c2))
            output = self.linear(h2)
            outputs += [output]
        for _ in range(future):
            h1, c1 = self.lstm1(output, (h1, c1))
            h2, c2 = self.lstm2(h1, (h2, c2))
            output = self.linear(h2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


class TutorialTagger(nn.Module):
    """The tagger of the tutorial on sequence models: one sentence, without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings, self.lstm, self.hidden2tag = nn.Embedding(V, H), nn.LSTM(H, H), nn.Linear(H, 3)

    def forward(self, sentence: Tensor) -> Any:
        """Read [T, 1]."""
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        return functional.log_softmax(self.hidden2tag(lstm_out.view(len(sentence), -1)), dim=1)


@sound("tagger of the tutorial", "pytorch/tutorials")
def _() -> Any:
    return TutorialTagger(), (tokens(T, 1),), {"layout": "TN"}


class CharClassifier(nn.Module):
    """The classifier of names of the tutorial: time first, one-hot letters."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.h2o, self.softmax = nn.RNN(V, H), nn.Linear(H, 4), nn.LogSoftmax(dim=1)

    def forward(self, line: Tensor) -> Any:
        """Read [T, N, V]."""
        _, hidden = self.rnn(line)
        return self.softmax(self.h2o(hidden[0]))


@sound("classifier of names", "pytorch/tutorials")
def _() -> Any:
    return CharClassifier(), (functional.one_hot(tokens(T, N), V).float(),), {}


class TutorialTranslator(nn.Module):
    """The translator of the tutorial: GRU, Bahdanau attention, a decoder that feeds itself or is taught."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.encoder, self.dropout = nn.Embedding(V, H), nn.GRU(H, H, batch_first=True), nn.Dropout(0.1)
        self.embedding2, self.decoder, self.out = (
            nn.Embedding(V, H),
            nn.GRU(2 * H, H, batch_first=True),
            nn.Linear(H, V),
        )
        self.wa, self.ua, self.va = nn.Linear(H, H), nn.Linear(H, H), nn.Linear(H, 1)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Any:
        """Read [N, T]."""
        encoded, hidden = self.encoder(self.dropout(self.embedding(source)))
        word, outputs = torch.zeros(len(source), 1).long(), []
        for t in range(5):
            query = hidden.permute(1, 0, 2)
            weights = functional.softmax(
                self.va(torch.tanh(self.wa(query) + self.ua(encoded))).squeeze(2).unsqueeze(1), -1
            )
            context = torch.bmm(weights, encoded)
            output, hidden = self.decoder(torch.cat((self.embedding2(word), context), 2), hidden)
            outputs.append(self.out(output))
            word = outputs[-1].topk(1)[1].squeeze(-1).detach() if target is None else target[:, t].unsqueeze(1)
        return functional.log_softmax(torch.cat(outputs, 1), -1), hidden


@sound("translator with attention, feeding itself", "pytorch/tutorials", taught=False)
@sound("translator with attention, taught", "pytorch/tutorials", taught=True)
def _(taught: bool) -> Any:
    return TutorialTranslator(), (tokens(), tokens(N, 6)) if taught else (tokens(),), {}


# --- speech --------------------------------------------------------------------------------------------------------


class Silero(nn.Module):
    """A voice detector of silero's shape: convolutions over a spectrum, LSTM, head."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(C, 16, 1), (16, 8, 2), (8, 8, 2)]
        self.encoder = nn.Sequential(*[nn.Sequential(nn.Conv1d(a, b, 3, s, 1), nn.ReLU()) for a, b, s in sizes])
        self.rnn, self.decoder = (
            nn.LSTM(8, 8, batch_first=True),
            nn.Sequential(nn.Dropout(0.1), nn.ReLU(), nn.Conv1d(8, 1, 1), nn.Sigmoid()),
        )

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """Read [N, C, T]."""
        out, state = self.rnn(self.encoder(x).transpose(1, 2), state)
        return self.decoder(out.transpose(1, 2)).mean(2), state


@sound("voice detector", "silero-vad")
def _() -> Any:
    return Silero(), (torch.randn(N, C, 40),), {}


class Tacotron2Encoder(nn.Module):
    """Tacotron 2's encoder: convolutions with batch normalisation, and a bidirectional LSTM on packed rows."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, H, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv1d(H, H, 5, padding=2), nn.BatchNorm1d(H)) for _ in range(3)
        )
        self.lstm = nn.LSTM(H, H // 2, 1, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        """Read [N, T]."""
        mask = (torch.arange(x.shape[1]) < lengths[:, None]).unsqueeze(1)
        x = self.embedding(x).transpose(1, 2)
        for conv in self.convolutions:
            x = functional.dropout(functional.relu(conv(x * mask)), 0.5, self.training)
        packed = pack_padded_sequence(x.transpose(1, 2), lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


@sound("encoder of Tacotron 2", "tacotron2")
def _() -> Any:
    return Tacotron2Encoder(), (padded_tokens(), LENGTHS), {}


class Tacotron2Decoder(nn.Module):
    """Tacotron 2's decoder: a prenet whose dropout always acts, two cells in a loop, location-sensitive attention."""

    def __init__(self) -> None:
        super().__init__()
        self.prenet, self.attention_rnn, self.decoder_rnn = (
            nn.Linear(C, H),
            nn.LSTMCell(2 * H, H),
            nn.LSTMCell(2 * H, H),
        )
        self.query, self.memory, self.location, self.v = (
            nn.Linear(H, H),
            nn.Linear(H, H),
            nn.Conv1d(2, H, 5, padding=2),
            nn.Linear(H, 1),
        )
        self.projection, self.gate = nn.Linear(2 * H, C), nn.Linear(2 * H, 1)

    def forward(self, memory: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Read [N, S, H] and [N, T, C]."""
        n, s, _ = memory.shape
        h1 = c1 = h2 = c2 = context = memory.new_zeros(n, H)
        weights = total = memory.new_zeros(n, s)
        keys = self.memory(memory)
        frames = torch.cat([mels.new_zeros(n, 1, C), mels[:, :-1]], 1)
        outputs, gates = [], []
        for frame in frames.unbind(1):
            h1, c1 = self.attention_rnn(torch.cat([functional.relu(self.prenet(frame)), context], -1), (h1, c1))
            where = self.location(torch.stack([weights, total], 1)).transpose(1, 2)
            energies = self.v(torch.tanh(self.query(h1).unsqueeze(1) + keys + where)).squeeze(-1)
            weights = functional.softmax(energies, 1)
            total = total + weights
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            h2, c2 = self.decoder_rnn(torch.cat([h1, context], -1), (h2, c2))
            both = torch.cat([h2, context], -1)
            outputs.append(self.projection(both))
            gates.append(self.gate(both))
        return torch.stack(outputs, 1), torch.cat(gates, 1)


@sound("decoder of Tacotron 2", "tacotron2")
def _() -> Any:
    return Tacotron2Decoder(), (torch.randn(N, 9, H), torch.randn(N, T, C)), {}


class DeepSpeech2(nn.Module):
    """Deep Speech 2: convolutions over time and frequency, batch-normalised bidirectional GRUs, time first inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 2, (3, 5), (2, 1), (1, 2)), nn.BatchNorm2d(2), nn.Hardtanh(0, 20))
        self.rnns = nn.ModuleList(nn.GRU(2 * 4 if k == 0 else H, H, bidirectional=True, bias=True) for k in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(2 * 4 if k == 0 else H) for k in range(2))
        self.fc = nn.Linear(H, 6, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        """Read [N, 1, F, T]."""
        x = self.conv(x)
        x = x.masked_fill((torch.arange(x.shape[3]) >= lengths[:, None])[:, None, None], 0)
        n, c, f, t = x.shape
        x = x.view(n, c * f, t).transpose(1, 2).transpose(0, 1).contiguous()
        for rnn, norm in zip(self.rnns, self.norms, strict=True):
            x = norm(x.view(t * n, -1)).view(t, n, -1)
            x, _ = pad_packed_sequence(rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))[0], total_length=t)
            x = x.view(t, n, 2, -1).sum(2)
        return functional.log_softmax(self.fc(x).transpose(0, 1), -1)


@sound("Deep Speech 2", "deepspeech.pytorch")
def _() -> Any:
    return DeepSpeech2(), (torch.randn(N, 1, 8, T), LENGTHS), {"layout": "NCFT"}


class Umx(nn.Module):
    """Open-Unmix: a bidirectional LSTM of three layers on batch-normalised spectra, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(2 * C, H, bias=False), nn.BatchNorm1d(H)
        self.lstm = nn.LSTM(H, H // 2, 3, bidirectional=True, dropout=0.4)
        self.fc2, self.bn2, self.fc3, self.bn3 = (
            nn.Linear(2 * H, H, bias=False),
            nn.BatchNorm1d(H),
            nn.Linear(H, 2 * C, bias=False),
            nn.BatchNorm1d(2 * C),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, channels, bins, T]."""
        x = x.permute(3, 0, 1, 2)
        t, n, c, b = x.shape
        mix = x.detach().clone()
        x = torch.tanh(self.bn1(self.fc1(x.reshape(-1, c * b))).reshape(t, n, H))
        x = torch.cat([x, self.lstm(x)[0]], -1)
        x = functional.relu(self.bn2(self.fc2(x.reshape(-1, x.shape[-1]))))
        x = self.bn3(self.fc3(x)).reshape(t, n, c, b)
        return (functional.relu(x) * mix).permute(1, 2, 3, 0)


@sound("Open-Unmix", "openunmix")
def _() -> Any:
    return Umx(), (torch.rand(N, 2, C, T),), {"layout": "NCBT"}


class Demucs(nn.Module):
    """Demucs: strided convolutions, a bidirectional LSTM in the middle, transposed convolutions and skips."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv1d(1, H, 8, 4, 2), nn.Conv1d(H, H, 8, 4, 2)])
        self.decoder = nn.ModuleList([nn.ConvTranspose1d(H, H, 8, 4, 2), nn.ConvTranspose1d(H, 1, 8, 4, 2)])
        self.lstm, self.linear = nn.LSTM(H, H, 2, bidirectional=True), nn.Linear(2 * H, H)

    def forward(self, mix: Tensor) -> Any:
        """Read [N, 1, T]."""
        skips, x = [], mix
        for layer in self.encoder:
            x = functional.relu(layer(x))
            skips.append(x)
        x = self.linear(self.lstm(x.permute(2, 0, 1))[0]).permute(1, 2, 0)
        for layer in self.decoder:
            x = functional.relu(layer(x + skips.pop()))
        return x


@sound("Demucs", "demucs")
def _() -> Any:
    return Demucs(), (torch.randn(N, 1, 128),), {}


class DualPath(nn.Module):
    """A block of dual-path networks: an LSTM inside chunks, and one across them."""

    def __init__(self) -> None:
        super().__init__()
        self.intra, self.inter = (
            nn.LSTM(H, H, batch_first=True, bidirectional=True),
            nn.LSTM(H, H, batch_first=True, bidirectional=True),
        )
        self.front, self.fc1, self.fc2, self.norm1, self.norm2 = (
            nn.Linear(C, H),
            nn.Linear(2 * H, H),
            nn.Linear(2 * H, H),
            nn.LayerNorm(H),
            nn.LayerNorm(H),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C] in chunks."""
        n, t, _ = x.shape
        x = self.front(functional.pad(x, (0, 0, 0, -t % 4))).view(n, -1, 4, H)
        s = x.shape[1]
        x = x + self.norm1(self.fc1(self.intra(x.reshape(n * s, 4, H))[0])).view(n, s, 4, H)
        across = x.permute(0, 2, 1, 3).reshape(n * 4, s, H)
        x = x + self.norm2(self.fc2(self.inter(across)[0])).view(n, 4, s, H).permute(0, 2, 1, 3)
        return x.reshape(n, -1, H)[:, :t]


@sound("dual-path block", "asteroid")
def _() -> Any:
    return DualPath(), (torch.randn(N, 17, C),), {}


class Crn(nn.Module):
    """A convolutional recurrent network for speech enhancement: causal convolutions in time, LSTM, decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm, self.deconv = (
            nn.Conv2d(1, 4, (2, 3), (1, 2)),
            nn.LSTM(4 * 3, 4 * 3, 2, batch_first=True),
            nn.ConvTranspose2d(8, 1, (2, 3), (1, 2)),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, F]."""
        e = functional.elu(self.conv(functional.pad(x.unsqueeze(1), (0, 0, 1, 0))))
        n, c, t, f = e.shape
        out = self.lstm(e.permute(0, 2, 1, 3).reshape(n, t, c * f))[0].reshape(n, t, c, f).permute(0, 2, 1, 3)
        return functional.softplus(self.deconv(torch.cat([out, e], 1))[:, :, :-1].squeeze(1))


@sound("convolutional recurrent network", "speech enhancement")
def _() -> Any:
    return Crn(), (torch.rand(N, T, 7),), {}


class RNNoise(nn.Module):
    """RNNoise: two convolutions without padding, three GRUs, gains and voice activity from all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(C, H, 3, padding="valid"), nn.Conv1d(H, H, 3, padding="valid")
        self.gru1, self.gru2, self.gru3 = (nn.GRU(H, H, batch_first=True) for _ in range(3))
        self.dense, self.vad = nn.Linear(4 * H, C), nn.Linear(4 * H, 1)

    def forward(self, features: Tensor, states: Any = None) -> Any:
        """Read [N, T, C]."""
        s1, s2, s3 = states or [torch.zeros(1, len(features), H)] * 3
        x = torch.tanh(self.conv2(torch.tanh(self.conv1(features.permute(0, 2, 1))))).permute(0, 2, 1)
        g1, s1 = self.gru1(x, s1)
        g2, s2 = self.gru2(g1, s2)
        g3, s3 = self.gru3(g2, s3)
        out = torch.cat([x, g1, g2, g3], -1)
        return torch.sigmoid(self.dense(out)), torch.sigmoid(self.vad(out)), [s1, s2, s3]


@sound("RNNoise", "rnnoise")
def _() -> Any:
    return RNNoise(), (torch.randn(N, T, C),), {}


class Crdnn(nn.Module):
    """CRDNN of SpeechBrain: convolutions, normalised and pooled, bidirectional LSTM, dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.LayerNorm([C, 4])
        self.rnn, self.dnn = (
            nn.LSTM(4 * 2, H, 2, batch_first=True, bidirectional=True, dropout=0.15),
            nn.Sequential(nn.Linear(2 * H, H), nn.LeakyReLU()),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        x = self.norm(self.conv(x.unsqueeze(1)).permute(0, 2, 3, 1))
        x = functional.max_pool1d(x.flatten(0, 1).transpose(1, 2), 2).transpose(1, 2).reshape(len(x), -1, 2, 4)
        return self.dnn(self.rnn(x.flatten(2))[0])


@sound("CRDNN", "speechbrain")
def _() -> Any:
    return Crdnn(), (torch.randn(N, T, C),), {}


class Rnnp(nn.Module):
    """ESPnet's encoder: LSTMs with projections that leave out every second step."""

    def __init__(self) -> None:
        super().__init__()
        self.birnn0, self.bt0 = nn.LSTM(C, H, 1, bidirectional=True, batch_first=True), nn.Linear(2 * H, H)
        self.birnn1, self.bt1 = nn.LSTM(H, H, 1, bidirectional=True, batch_first=True), nn.Linear(2 * H, H)

    def forward(self, xs: Tensor, ilens: Tensor) -> tuple[Tensor, Tensor]:
        """Read [N, T, C]."""
        for rnn, projection, step in ((self.birnn0, self.bt0, 2), (self.birnn1, self.bt1, 1)):
            ys, _ = pad_packed_sequence(
                rnn(pack_padded_sequence(xs, ilens, batch_first=True, enforce_sorted=False))[0], batch_first=True
            )
            ys, ilens = ys[:, ::step], (ilens + step - 1) // step
            xs = torch.tanh(projection(ys))
        mask = torch.arange(xs.shape[1]) >= ilens[:, None]
        return xs.masked_fill(mask[..., None], 0), ilens


@sound("encoder of ESPnet", "espnet")
def _() -> Any:
    return Rnnp(), (padded_numbers(), LENGTHS), {}


class Transducer(nn.Module):
    """An RNN transducer: an encoder, a prediction network and a joiner, [N, T, U, V]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.embedding, self.predictor = (
            nn.LSTM(C, H, 2, batch_first=True),
            nn.Embedding(V, H),
            nn.LSTM(H, H, batch_first=True),
        )
        self.norm, self.joiner = nn.LayerNorm(H), nn.Linear(H, V)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        """Read [N, T, C] and [N, U]."""
        encoded, predicted = self.encoder(x)[0], self.norm(self.predictor(self.embedding(y))[0])
        return self.joiner(functional.relu(encoded.unsqueeze(2) + predicted.unsqueeze(1)))


@sound("RNN transducer", "torchaudio")
def _() -> Any:
    return Transducer(), (torch.randn(N, T, C), tokens(N, 5)), {}


class WaveRnn(nn.Module):
    """WaveRNN: two GRUs with residual connections on samples and upsampled features."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.rnn1, self.rnn2 = (
            nn.Linear(1 + C, H),
            nn.GRU(H, H, batch_first=True),
            nn.GRU(H + C, H, batch_first=True),
        )
        self.fc1, self.fc2 = nn.Linear(H + C, H), nn.Linear(H, 16)

    def forward(self, wave: Tensor, features: Tensor) -> Any:
        """Read [N, T, 1] and [N, T, C]."""
        x = self.fc(torch.cat([wave, features], -1))
        x = x + self.rnn1(x)[0]
        x = x + self.rnn2(torch.cat([x, features], -1))[0]
        return self.fc2(functional.relu(self.fc1(torch.cat([x, features], -1))))


@sound("WaveRNN", "torchaudio")
def _() -> Any:
    return WaveRnn(), (torch.randn(N, T, 1), torch.randn(N, T, C)), {"causal": True}


# --- text ----------------------------------------------------------------------------------------------------------


class Crnn(nn.Module):
    """CRNN for reading text in images: convolutions, then two bidirectional LSTMs over the width."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 4, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, H, (4, 3), 1, (0, 1)), nn.BatchNorm2d(H)
        )
        self.rnn1, self.fc1, self.rnn2, self.fc2 = (
            nn.LSTM(H, H, bidirectional=True),
            nn.Linear(2 * H, H),
            nn.LSTM(H, H, bidirectional=True),
            nn.Linear(2 * H, 9),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, 1, height, width]."""
        x = self.cnn(x).squeeze(2).permute(2, 0, 1)
        for rnn, fc in ((self.rnn1, self.fc1), (self.rnn2, self.fc2)):
            out = rnn(x)[0]
            t, n, h = out.shape
            x = fc(out.view(t * n, h)).view(t, n, -1)
        return functional.log_softmax(x, 2)


@sound("CRNN", "crnn.pytorch")
def _() -> Any:
    return Crnn(), (torch.randn(N, 1, 8, 30),), {"layout": "NCHT"}


class AwdLstm(nn.Module):
    """AWD-LSTM: layers of their own sizes, locked dropout, a state in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rnns, self.decoder = (
            nn.Embedding(V, H),
            nn.ModuleList([nn.LSTM(H, 12), nn.LSTM(12, H)]),
            nn.Linear(H, V),
        )

    def locked(self, x: Tensor) -> Any:
        """Drop the same units at all steps."""
        if not self.training:
            return x
        return x * x.new_empty(1, x.size(1), x.size(2)).bernoulli_(0.6) / 0.6

    def forward(self, x: Tensor, hidden: Any = None) -> Any:
        """Read [T, N]."""
        hidden = hidden or [None, None]
        out, after = self.locked(self.encoder(x)), []
        for rnn, state in zip(self.rnns, hidden, strict=True):
            out, state = rnn(out, state)
            after.append(state)
            out = self.locked(out)
        return self.decoder(out.view(-1, H)).view(out.size(0), out.size(1), -1), after


@sound("AWD-LSTM", "awd-lstm-lm")
def _() -> Any:
    return AwdLstm(), (tokens(T, N),), {"layout": "TN", "causal": True}


class StackedBrnn(nn.Module):
    """DrQA's reader: stacked bidirectional LSTMs, whose outputs are concatenated; self-attentive sum."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, H, padding_idx=0)
        self.rnns = nn.ModuleList([nn.LSTM(H, H, bidirectional=True), nn.LSTM(2 * H, H, bidirectional=True)])
        self.attention = nn.Linear(4 * H, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Any:
        """Read [N, T] and a mask that is True at the padding."""
        lengths = mask.eq(0).long().sum(1)
        _, order = torch.sort(lengths, dim=0, descending=True)
        _, back = torch.sort(order, dim=0)
        embedded = self.embedding(x).index_select(0, order).transpose(0, 1)
        outputs = [pack_padded_sequence(embedded, lengths[order].tolist())]
        for rnn in self.rnns:
            outputs.append(rnn(outputs[-1])[0])
        unpacked = [pad_packed_sequence(output, total_length=x.shape[1])[0] for output in outputs[1:]]
        out = torch.cat(unpacked, 2).transpose(0, 1).index_select(0, back)
        alpha = functional.softmax(self.attention(out).squeeze(-1).masked_fill(mask, -float("inf")), -1)
        return alpha.unsqueeze(1).bmm(out).squeeze(1)


@sound("reader of DrQA", "DrQA")
def _() -> Any:
    x = padded_tokens()
    return StackedBrnn(), (x, x == 0), {}


class Seq2Vec(nn.Module):
    """AllenNLP's wrapper: sorted, packed, the last layer's states of both directions, unsorted."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding, self.module, self.head = (
            nn.Embedding(V, H, padding_idx=0),
            getattr(nn, kind)(H, H, 2, batch_first=True, bidirectional=True),
            nn.Linear(2 * H, 3),
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Read [N, T]."""
        lengths = (x != 0).sum(1)
        ordered, permutation = lengths.sort(0, descending=True)
        restore = permutation.argsort()
        packed = pack_padded_sequence(self.embedding(x)[permutation], ordered.tolist(), batch_first=True)
        _, state = self.module(packed)
        state = state[0] if isinstance(state, tuple) else state
        last = state.index_select(1, restore).transpose(0, 1)[:, -2:, :].contiguous().view(-1, 2 * H)
        logits = self.head(last)
        return {"logits": logits, "probs": functional.softmax(logits, dim=-1)}


@sound("sequence to vector, LSTM", "allennlp", kind="LSTM")
@sound("sequence to vector, GRU", "allennlp", kind="GRU")
def _(kind: str) -> Any:
    return Seq2Vec(kind), (padded_tokens(),), {}


class FlairTagger(nn.Module):
    """Flair's tagger: embeddings, a projection, locked dropout, bidirectional LSTM on packed rows, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding2nn, self.rnn, self.linear = (
            nn.Linear(C, C),
            nn.LSTM(C, H, batch_first=True, bidirectional=True),
            nn.Linear(2 * H, 4),
        )
        self.hs_initializer, self.cs_initializer = (
            nn.Parameter(torch.randn(2, 1, H)),
            nn.Parameter(torch.randn(2, 1, H)),
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        """Read [N, T, C]."""
        packed = pack_padded_sequence(self.embedding2nn(x), lengths, batch_first=True, enforce_sorted=False)
        state = self.hs_initializer.repeat(1, len(x), 1), self.cs_initializer.repeat(1, len(x), 1)
        return self.linear(pad_packed_sequence(self.rnn(packed, state)[0], batch_first=True)[0])


@sound("tagger of Flair", "flair")
def _() -> Any:
    return FlairTagger(), (padded_numbers(), LENGTHS), {}


class CharTagger(nn.Module):
    """NCRF++: a convolution over each word's letters and a maximum, word embeddings, a bidirectional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.char, self.cnn, self.word = nn.Embedding(V, 6), nn.Conv1d(6, 6, 3, padding=1), nn.Embedding(V, H)
        self.lstm, self.hidden2tag, self.drop = (
            nn.LSTM(6 + H, H, batch_first=True, bidirectional=True),
            nn.Linear(2 * H, 5),
            nn.Dropout(0.5),
        )

    def forward(self, words: Tensor, letters: Tensor) -> Any:
        """Read [N, T] and [N, T, letters]."""
        n, t, w = letters.shape
        chars = self.cnn(self.char(letters.view(n * t, w)).transpose(1, 2)).amax(2).view(n, t, -1)
        return self.hidden2tag(self.drop(self.lstm(self.drop(torch.cat([self.word(words), chars], 2)))[0]))


@sound("tagger with letters", "NCRFpp")
def _() -> Any:
    return CharTagger(), (tokens(), tokens(N, T, 6)), {}


class Highway(nn.Module):
    """Stanza's highway LSTM: gates between stacked bidirectional layers, on packed data."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.ModuleList(
            [
                nn.LSTM(C, H, batch_first=True, bidirectional=True),
                nn.LSTM(2 * H, H, batch_first=True, bidirectional=True),
            ]
        )
        self.gate, self.highway = (
            nn.ModuleList([nn.Linear(C, 2 * H), nn.Linear(2 * H, 2 * H)]),
            nn.ModuleList([nn.Linear(C, 2 * H, bias=False), nn.Linear(2 * H, 2 * H, bias=False)]),
        )

    def forward(self, x: PackedSequence) -> PackedSequence:
        """Read packed rows."""
        for lstm, gate, highway in zip(self.lstm, self.gate, self.highway, strict=True):
            out, _ = lstm(x)
            mixed = out.data + torch.sigmoid(gate(x.data)) * torch.tanh(highway(x.data))
            x = PackedSequence(mixed, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return x


@sound("highway LSTM", "stanza")
def _() -> Any:
    return Highway(), (pack_padded_sequence(padded_numbers(), LENGTHS, batch_first=True, enforce_sorted=False),), {}


class InferSent(nn.Module):
    """InferSent: a bidirectional LSTM and a maximum over the true steps, of two sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.enc_lstm, self.classifier = (
            nn.LSTM(C, H, 1, bidirectional=True),
            nn.Sequential(nn.Linear(8 * H, H), nn.Linear(H, 3)),
        )

    def encode(self, x: Tensor, lengths: Tensor) -> Any:
        """Read [T, N, C]."""
        out, _ = pad_packed_sequence(
            self.enc_lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))[0], total_length=len(x)
        )
        past = torch.arange(len(x))[:, None] >= lengths
        return out.masked_fill(past[..., None], -1e9).max(0)[0]

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> Any:
        """Read two of [T, N, C]."""
        u, v = self.encode(x, lengths), self.encode(y, lengths)
        return self.classifier(torch.cat([u, v, (u - v).abs(), u * v], 1))


@sound("InferSent", "InferSent")
def _() -> Any:
    x, y = padded_numbers().transpose(0, 1), padded_numbers().transpose(0, 1)
    return InferSent(), (x, LENGTHS, y), {"layout": "TNC"}


class Malstm(nn.Module):
    """A siamese LSTM: exp of minus the distance of two final states."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(V, H), nn.LSTM(H, H, batch_first=True)

    def forward(self, a: Tensor, b: Tensor) -> Any:
        """Read two of [N, T]."""
        first, second = (self.lstm(self.embedding(x))[1][0].squeeze(0) for x in (a, b))
        return torch.exp(-(first - second).abs().sum(1))


@sound("siamese LSTM", "MaLSTM")
def _() -> Any:
    return Malstm(), (tokens(), tokens()), {}


class Han(nn.Module):
    """A hierarchical attention network: a GRU over words, attention, a GRU over sentences, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.words, self.sentences = (
            nn.Embedding(V, H),
            nn.GRU(H, H, batch_first=True, bidirectional=True),
            nn.GRU(2 * H, H, batch_first=True, bidirectional=True),
        )
        self.w1, self.c1, self.w2, self.c2, self.fc = (
            nn.Linear(2 * H, H),
            nn.Linear(H, 1, bias=False),
            nn.Linear(2 * H, H),
            nn.Linear(H, 1, bias=False),
            nn.Linear(2 * H, 4),
        )

    def forward(self, docs: Tensor) -> Any:
        """Read [N, sentences, words]."""
        n, s, w = docs.shape
        out = self.words(self.embedding(docs.view(n * s, w)))[0]
        out = (functional.softmax(self.c1(torch.tanh(self.w1(out))), 1) * out).sum(1).view(n, s, -1)
        out = self.sentences(out)[0]
        return self.fc((functional.softmax(self.c2(torch.tanh(self.w2(out))), 1) * out).sum(1))


@sound("hierarchical attention network", "HAN")
def _() -> Any:
    return Han(), (tokens(N, 7, 5),), {}


class TextRcnn(nn.Module):
    """TextRCNN: a bidirectional LSTM beside the embeddings, and a maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.fc = (
            nn.Embedding(V, H),
            nn.LSTM(H, H, 2, bidirectional=True, batch_first=True, dropout=0.1),
            nn.Linear(3 * H, 4),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, T]."""
        embedded = self.embedding(x)
        out = functional.relu(torch.cat((embedded, self.lstm(embedded)[0]), 2)).permute(0, 2, 1)
        return self.fc(functional.max_pool1d(out, out.shape[2]).squeeze(-1))


@sound("TextRCNN", "Chinese-Text-Classification-Pytorch")
def _() -> Any:
    return TextRcnn(), (tokens(),), {}


class FairseqLstm(nn.Module):
    """fairseq's LSTM: a bidirectional encoder whose states are combined, a decoder of cells with input feeding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(V, H, padding_idx=0), nn.LSTM(H, H, 1, bidirectional=True)
        self.embed2, self.layer, self.attention, self.out = (
            nn.Embedding(V, H),
            nn.LSTMCell(H + 2 * H, 2 * H),
            nn.Linear(2 * H, 2 * H, bias=False),
            nn.Linear(4 * H, V),
        )

    def forward(self, source: Tensor, lengths: Tensor, previous: Tensor) -> Any:
        """Read [N, T], lengths and [N, U]."""
        x = self.embed(source).transpose(0, 1)
        out, (h, c) = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
        out, _ = pad_packed_sequence(out, padding_value=0.0, total_length=len(x))
        h, c = (s.view(1, 2, len(source), -1).transpose(1, 2).contiguous().view(len(source), -1) for s in (h, c))
        mask = source.eq(0).t()
        feed, results = h.new_zeros(len(source), 2 * H), []
        for word in self.embed2(previous).transpose(0, 1):
            h, c = self.layer(torch.cat((word, feed), 1), (h, c))
            scores = (out * self.attention(h).unsqueeze(0)).sum(2).masked_fill(mask, float("-inf"))
            feed = (functional.softmax(scores, 0).unsqueeze(2) * out).sum(0)
            results.append(torch.cat([h, feed], 1))
        return self.out(torch.stack(results, 1)), None


@sound("translator of fairseq", "fairseq")
def _() -> Any:
    return FairseqLstm(), (padded_tokens(), LENGTHS, tokens(N, 5)), {}


class Captioner(nn.Module):
    """Show, attend and tell: a cell in a loop, attention over the parts of an image, a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.cell, self.init_h, self.init_c = (
            nn.Embedding(V, H),
            nn.LSTMCell(H + C, H),
            nn.Linear(C, H),
            nn.Linear(C, H),
        )
        self.att1, self.att2, self.full, self.beta, self.fc, self.dropout = (
            nn.Linear(C, H),
            nn.Linear(H, H),
            nn.Linear(H, 1),
            nn.Linear(H, C),
            nn.Linear(H, V),
            nn.Dropout(0.5),
        )

    def forward(self, captions: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Read [N, T] and [N, parts, C]."""
        words, mean = self.embedding(captions), image.mean(1)
        h, c = self.init_h(mean), self.init_c(mean)
        results, alphas = [], []
        for t in range(captions.shape[1]):
            alpha = functional.softmax(
                self.full(functional.relu(self.att1(image) + self.att2(h).unsqueeze(1))).squeeze(2), 1
            )
            seen = torch.sigmoid(self.beta(h)) * (image * alpha.unsqueeze(2)).sum(1)
            h, c = self.cell(torch.cat([words[:, t], seen], 1), (h, c))
            results.append(self.fc(self.dropout(h)))
            alphas.append(alpha)
        return torch.stack(results, 1), torch.stack(alphas, 1)


@sound("captions of images", "a-PyTorch-Tutorial-to-Image-Captioning")
def _() -> Any:
    return Captioner(), (tokens(), torch.randn(N, 9, C)), {"causal": True}


class SentenceVae(nn.Module):
    """A sentence VAE: an encoder, a random code, a decoder that starts from it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.encoder, self.decoder = (
            nn.Embedding(V, H),
            nn.GRU(H, H, batch_first=True),
            nn.GRU(H, H, batch_first=True),
        )
        self.mean, self.logv, self.start, self.out = nn.Linear(H, 4), nn.Linear(H, 4), nn.Linear(4, H), nn.Linear(H, V)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Read [N, T]."""
        embedded = self.embedding(x)
        hidden = self.encoder(embedded)[1].squeeze(0)
        mean, logv = self.mean(hidden), self.logv(hidden)
        z = torch.randn_like(mean) * torch.exp(0.5 * logv) + mean if self.training else mean
        out, _ = self.decoder(embedded, self.start(z).unsqueeze(0))
        return functional.log_softmax(self.out(out), -1), mean, logv


@sound("sentence VAE", "Sentence-VAE")
def _() -> Any:
    return SentenceVae(), (tokens(),), {}


# --- series, recommendation, control ---------------------------------------------------------------------------------


class DeepAr(nn.Module):
    """DeepAR: the scaled series and covariates, an LSTM of two layers, the parameters of a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.static, self.rnn, self.mu, self.sigma = (
            nn.Embedding(4, 3),
            nn.LSTM(1 + C + 3, H, 2, batch_first=True, dropout=0.1),
            nn.Linear(H, 1),
            nn.Linear(H, 1),
        )

    def forward(self, past: Tensor, features: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Read [N, T], [N, T, C] and [N]."""
        scale = past.abs().mean(1, keepdim=True).clamp(min=1e-3)
        static = self.static(group).unsqueeze(1).expand(-1, past.shape[1], -1)
        out, _ = self.rnn(torch.cat([(past / scale).unsqueeze(-1), features, static], -1))
        return self.mu(out).squeeze(-1) * scale, functional.softplus(self.sigma(out)).squeeze(-1) * scale


@sound("DeepAR", "gluonts")
def _() -> Any:
    return DeepAr(), (torch.randn(N, T), torch.randn(N, T, C), torch.randint(0, 4, (N,))), {}


class SmallTft(nn.Module):
    """A temporal fusion transformer's middle: LSTM encoder and decoder, gated skip, static context, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.past, self.future, self.h, self.c = nn.Linear(C, H), nn.Linear(3, H), nn.Linear(2, H), nn.Linear(2, H)
        self.encoder, self.decoder = nn.LSTM(H, H, batch_first=True), nn.LSTM(H, H, batch_first=True)
        self.gate, self.norm, self.attention, self.out = (
            nn.Linear(H, 2 * H),
            nn.LayerNorm(H),
            nn.MultiheadAttention(H, 2, batch_first=True),
            nn.Linear(H, 3),
        )

    def forward(self, x: dict[str, Tensor]) -> Any:
        """Read a dict of [N, T, C], [N, 5, 3] and [N, 2]."""
        past, future = self.past(x["encoder_cont"]), self.future(x["decoder_cont"])
        start = self.h(x["static"]).unsqueeze(0), self.c(x["static"]).unsqueeze(0)
        encoded, state = self.encoder(past, start)
        decoded, _ = self.decoder(future, state)
        out = self.norm(functional.glu(self.gate(torch.cat([encoded, decoded], 1))) + torch.cat([past, future], 1))
        return self.out(self.attention(out[:, -5:], out, out)[0])


@sound("temporal fusion transformer", "pytorch-forecasting")
def _() -> Any:
    return (
        SmallTft(),
        ({"encoder_cont": torch.randn(N, T, C), "decoder_cont": torch.randn(N, 5, 3), "static": torch.randn(N, 2)},),
        {},
    )


class BlockRnn(nn.Module):
    """darts' block model: the last output of a layer, then all future values at once."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.rnn, self.fc = getattr(nn, kind)(C, H, 2, batch_first=True, dropout=0.1), nn.Sequential(nn.Linear(H, 6))

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        _, hidden = self.rnn(x)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self.fc(hidden[-1, :, :]).view(len(x), 3, 2)


@sound("block model, LSTM", "darts", kind="LSTM")
@sound("block model, GRU", "darts", kind="GRU")
@sound("block model, RNN", "darts", kind="RNN")
def _(kind: str) -> Any:
    return BlockRnn(kind), (torch.randn(N, T, C),), {"targets": torch.randn(N, 3, 2), "loss": nn.MSELoss()}


class NeuralForecast(nn.Module):
    """neuralforecast's LSTM: an encoder, a context adapter, an MLP decoder at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.adapter, self.decoder = (
            nn.LSTM(C, H, 2, batch_first=True),
            nn.Linear(T, 4),
            nn.Sequential(nn.Linear(H, H), nn.ReLU(), nn.Linear(H, 1)),
        )

    def forward(self, batch: dict[str, Tensor]) -> Any:
        """Read a dict of [N, T, C]; the number of steps is fixed."""
        out, _ = self.encoder(batch["insample"])
        return self.decoder(self.adapter(out.permute(0, 2, 1)).permute(0, 2, 1))


@sound("LSTM with a context adapter", "neuralforecast")
def _() -> Any:
    return NeuralForecast(), ({"insample": torch.randn(N, T, C)},), {}


class LstNet(nn.Module):
    """LSTNet: a convolution, a GRU, a GRU that skips steps, an autoregressive part."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru, self.skip_gru = nn.Conv2d(1, H, (3, C)), nn.GRU(H, H), nn.GRU(H, 4)
        self.linear, self.highway = nn.Linear(H + 3 * 4, C), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        n = len(x)
        c = functional.relu(self.conv(x.view(-1, 1, x.shape[1], C))).squeeze(3)
        r = self.gru(c.permute(2, 0, 1).contiguous())[1].squeeze(0)
        s = c[:, :, -(c.shape[2] // 3) * 3 :].contiguous().view(n, H, -1, 3).permute(2, 0, 3, 1).contiguous()
        s = self.skip_gru(s.view(s.shape[0], n * 3, H))[1].view(n, 3 * 4)
        z = self.highway(x[:, -6:].permute(0, 2, 1).contiguous().view(-1, 6)).view(-1, C)
        return self.linear(torch.cat((r, s), 1)) + z


@sound("LSTNet", "LSTNet")
def _() -> Any:
    return LstNet(), (torch.randn(N, T, C),), {}


class LstmFcn(nn.Module):
    """LSTM-FCN: an LSTM beside convolutions with global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.conv, self.bn, self.fc = (
            nn.LSTM(C, H, batch_first=True),
            nn.Conv1d(C, H, 5),
            nn.BatchNorm1d(H),
            nn.Linear(2 * H, 3),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, C, T]."""
        deep = functional.relu(self.bn(self.conv(x))).mean(2)
        read = self.lstm(x.transpose(1, 2))[0][:, -1]
        return self.fc(torch.cat([read, deep], 1))


@sound("LSTM-FCN", "tsai")
def _() -> Any:
    return LstmFcn(), (torch.randn(N, C, T),), {"layout": "NCT"}


class Autoencoder(nn.Module):
    """An LSTM autoencoder for anomalies: the final state, repeated, decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.out = (
            nn.LSTM(C, H, batch_first=True),
            nn.LSTM(H, H, batch_first=True),
            nn.Linear(H, C),
        )

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        _, (h, _) = self.encoder(x)
        return self.out(self.decoder(h[-1].unsqueeze(1).repeat(1, x.shape[1], 1))[0])


@sound("autoencoder", "pyod")
def _() -> Any:
    x = torch.randn(N, T, C)
    return Autoencoder(), (x,), {"targets": x, "loss": nn.MSELoss()}


class Dkt(nn.Module):
    """Deep knowledge tracing: one-hot answers, an RNN, a probability for every skill at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.RNN(2 * V, H, batch_first=True, nonlinearity="tanh"), nn.Linear(H, V)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T]."""
        start = torch.zeros(1, x.size(0), H)
        return torch.sigmoid(self.fc(self.rnn(functional.one_hot(x, 2 * V).float(), start)[0]))


@sound("knowledge tracing", "DKT")
def _() -> Any:
    return Dkt(), (tokens(),), {"causal": True}


class Narm(nn.Module):
    """NARM: a GRU on packed sessions, attention of the last state over all true steps."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.gru = nn.Embedding(V, H, padding_idx=0), nn.GRU(H, H, 1)
        self.a1, self.a2, self.v, self.b, self.drop = (
            nn.Linear(H, H, bias=False),
            nn.Linear(H, H, bias=False),
            nn.Linear(H, 1, bias=False),
            nn.Linear(H, 2 * H, bias=False),
            nn.Dropout(0.25),
        )

    def forward(self, x: Tensor, lengths: list[int]) -> Any:
        """Read [T, N]; lengths are a list."""
        out, hidden = self.gru(pack_padded_sequence(self.drop(self.emb(x)), lengths, enforce_sorted=False))
        out = pad_packed_sequence(out, total_length=len(x))[0].permute(1, 0, 2)
        last = hidden[-1]
        mask = (x.permute(1, 0) > 0).float()
        alpha = self.v(torch.sigmoid(self.a1(out) + self.a2(last).unsqueeze(1) * mask.unsqueeze(2))).squeeze(2) * mask
        return torch.cat(((alpha.unsqueeze(2) * out).sum(1), last), 1) @ self.b(self.emb(torch.arange(V))).t()


@sound("NARM", "NARM")
def _() -> Any:
    return Narm(), (padded_tokens().t().contiguous(), LENGTHS.tolist()), {"layout": "TN"}


class Gru4Rec(nn.Module):
    """GRU4Rec: one step of many sessions at a time, the state handed in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru, self.h2o = nn.Embedding(V, H), nn.GRU(H, H, 1), nn.Linear(H, V)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Read [1, N]."""
        output, hidden = self.gru(self.embedding(x), hidden)
        return torch.tanh(self.h2o(output.view(-1, output.size(-1)))), hidden


@sound("GRU4Rec", "GRU4Rec")
def _() -> Any:
    return Gru4Rec(), (tokens(1, N), torch.randn(1, N, H)), {"layout": "TN"}


class Memory(nn.Module):
    """rsl_rl's recurrent policy: an observation of each environment, one step, the state handed in."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.rnn, self.actor = getattr(nn, kind)(C, H), nn.Sequential(nn.Linear(H, H), nn.ELU(), nn.Linear(H, 2))

    def forward(self, observations: Tensor, hidden: Any) -> tuple[Tensor, Any]:
        """Read [N, C]."""
        out, hidden = self.rnn(observations.unsqueeze(0), hidden)
        return self.actor(out.squeeze(0)), hidden


@sound("recurrent policy, one step, LSTM", "rsl_rl", kind="LSTM")
@sound("recurrent policy, one step, GRU", "rsl_rl", kind="GRU")
def _(kind: str) -> Any:
    h = torch.randn(1, N, H)
    return Memory(kind), (torch.randn(N, C), (h, torch.randn(1, N, H)) if kind == "LSTM" else h), {}


class RecurrentPpo(nn.Module):
    """sb3-contrib's policy on sequences: the state is set to zero where an episode starts; actor and critic."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm_actor, self.lstm_critic, self.action, self.value = (
            nn.LSTM(C, H),
            nn.LSTM(C, H),
            nn.Linear(H, 2),
            nn.Linear(H, 1),
        )

    def process(self, lstm: nn.LSTM, x: Tensor, starts: Tensor) -> Any:
        """Read [T, N, C]."""
        h = c = x.new_zeros(1, x.shape[1], H)
        outputs = []
        for features, start in zip(x, starts, strict=True):
            keep = (1.0 - start).view(1, -1, 1)
            out, (h, c) = lstm(features.unsqueeze(0), (keep * h, keep * c))
            outputs.append(out)
        return torch.cat(outputs)

    def forward(self, x: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Read [T, N, C] and [T, N]."""
        return self.action(self.process(self.lstm_actor, x, starts)), self.value(
            self.process(self.lstm_critic, x, starts)
        )


@sound("recurrent policy on sequences", "sb3-contrib")
def _() -> Any:
    starts = torch.zeros(T, N)
    starts[0] = 1
    return RecurrentPpo(), (torch.randn(T, N, C), starts), {"layout": "TNC", "causal": True}


class WorldModel(nn.Module):
    """A world model's MDN-RNN: actions and codes, an LSTM, a mixture of Gaussians."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.gmm = nn.LSTM(C + 2, H), nn.Linear(H, 2 * 3 * C + 3)

    def forward(self, actions: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        """Read [T, N, 2] and [T, N, C]."""
        out = self.gmm(self.rnn(torch.cat([actions, codes], -1))[0])
        t, n = out.shape[:2]
        mus, sigmas, logits = out[..., : 3 * C], out[..., 3 * C : 6 * C], out[..., 6 * C :]
        return mus.view(t, n, 3, C), sigmas.view(t, n, 3, C).exp(), functional.log_softmax(logits, -1)


@sound("world model", "world-models")
def _() -> Any:
    return WorldModel(), (torch.randn(T, N, 2), torch.randn(T, N, C)), {}


class ConvLstm(nn.Module):
    """A convolutional LSTM: gates by convolution, in a loop; no recurrent layer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1 + 4, 16, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, 1, height, width]."""
        h = c = x.new_zeros(len(x), 4, *x.shape[3:])
        for frame in x.unbind(1):
            i, f, o, g = self.conv(torch.cat([frame, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h.mean((2, 3)))


@sound("ConvLSTM", "ConvLSTM_pytorch")
def _() -> Any:
    return ConvLstm(), (torch.randn(N, 7, 1, 6, 6),), {}


class Tcn(nn.Module):
    """A temporal convolutional network: no recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.linear = nn.ModuleList([nn.Conv1d(C, H, 2), nn.Conv1d(H, H, 2, dilation=2)]), nn.Linear(H, 3)

    def forward(self, x: Tensor) -> Any:
        """Read [N, C, T]."""
        for k, conv in enumerate(self.convs):
            x = functional.relu(conv(functional.pad(x, (2**k, 0))))
        return self.linear(x[:, :, -1])


@sound("temporal convolutions", "TCN")
def _() -> Any:
    return Tcn(), (torch.randn(N, C, T),), {}


@sound("transformer encoder", "torch")
def _() -> Any:
    layer = nn.TransformerEncoderLayer(H, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2), (torch.randn(N, T, H),), {}


class Burned(nn.Module):
    """The first steps only warm up the state, without gradients; then values and advantages are added."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.advantage, self.value = nn.LSTM(C, H, batch_first=True), nn.Linear(H, 4), nn.Linear(H, 1)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        with torch.no_grad():
            _, state = self.lstm(x[:, :4])
        advantage = self.advantage(self.lstm(x[:, 4:], state)[0])
        return self.value(advantage.new_zeros(*advantage.shape[:2], H)) + advantage - advantage.mean(-1, keepdim=True)


@sound("recurrent replay with a burn-in", "R2D2")
def _() -> Any:
    return Burned(), (torch.randn(N, T, C),), {}


class Strided(nn.Module):
    """Convolutions with strides and back, around an LSTM that reads one step of every 16 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv1d(1, H, 8, 4), nn.ReLU(), nn.Conv1d(H, H, 8, 4), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose1d(H, H, 8, 4), nn.ReLU(), nn.ConvTranspose1d(H, 1, 8, 4))
        self.lstm = nn.LSTM(H, H, 2)

    def forward(self, x: Tensor) -> Any:
        """Read [N, 1, T]."""
        return self.up(self.lstm(self.down(x).permute(2, 0, 1))[0].permute(1, 2, 0))


@sound("speech enhancement on samples", "denoiser")
def _() -> Any:
    return Strided(), (torch.randn(N, 1, 116),), {"layout": "NCT"}


class Resets(nn.Module):
    """A state that is multiplied by 0 where an episode begins."""

    def __init__(self) -> None:
        super().__init__()
        self.core, self.policy = nn.LSTM(C, H, 2), nn.Linear(H, 3)

    def forward(self, x: Tensor, done: Tensor, state: Any) -> Any:
        """Read [T, N, C]."""
        out = []
        for step, end in zip(x, done, strict=True):
            state = tuple((~end).float().view(1, -1, 1) * part for part in state)
            read, state = self.core(step[None], state)
            out.append(read)
        return self.policy(torch.cat(out)), state


@sound("actor-critic, every episode of the batch begins", "torchbeast")
def _() -> Any:
    done = torch.zeros(T, N, dtype=torch.bool)
    done[0] = True
    return Resets(), (torch.randn(T, N, C), done, (torch.zeros(2, N, H), torch.zeros(2, N, H))), {"layout": "TNC"}


class Sentences(nn.Module):
    """Words in sentences in documents: [N, sentences, words]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.words = nn.Embedding(V, C), nn.GRU(C, H, batch_first=True)
        self.sentences, self.head = nn.GRU(H, H, batch_first=True), nn.Linear(H, 3)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, words]."""
        _, h = self.words(self.embedding(x.view(-1, x.shape[-1])))
        return self.head(self.sentences(h[-1].view(*x.shape[:2], -1))[1][-1])


@sound("documents of sentences", "hierarchical attention networks")
def _() -> Any:
    return Sentences(), (tokens(N, 7, 5),), {}


class Candidates(nn.Module):
    """A cell called once for each action, each time from the same state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.cell = nn.GRU(C, H, batch_first=True), nn.GRUCell(H, H)
        self.actions, self.value = nn.Embedding(4, H), nn.Linear(H, 1)

    def forward(self, x: Tensor) -> Any:
        """Read [N, T, C]."""
        h = self.gru(x)[1][-1]
        return torch.cat([self.value(self.cell(a.expand(len(x), -1), h)) for a in self.actions.weight], 1)


@sound("imagined actions", "world models")
def _() -> Any:
    return Candidates(), (torch.randn(N, T, C),), {}


# --- our own ---------------------------------------------------------------------------------------------------------


class Simple(nn.Module):
    """An embedding or a projection, one of our layers or torch's, and a head."""

    def __init__(self, layer: Any, result: str, both: bool = False, layers: int = 1, first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.rnn = layer(H, H, layers, batch_first=first, bidirectional=both)
        self.head, self.result, self.first = nn.Linear(H * (1 + both), 3), result, first

    def forward(self, x: Tensor) -> Any:
        """Read tokens."""
        out, state = self.rnn(self.embedding(x))
        h = state[0] if isinstance(state, tuple) else state
        axis = 1 if self.first else 0
        picks: dict[str, Callable[[], Tensor]] = {
            "steps": lambda: out,
            "last": lambda: out.select(axis, -1),
            "h_n": lambda: torch.cat([h[-2], h[-1]], -1) if self.head.in_features > H else h[-1],
            "mean": lambda: out.mean(axis),
            "max": lambda: out.amax(axis),
            "ends": lambda: torch.cat([out.select(axis, -1)[..., :H], out.select(axis, 0)[..., H:]], -1),
        }
        return self.head(picks[self.result]())


@sound("LSTM, last output", layer=hs.LSTM, result="last")
@sound("GRU, last output", layer=hs.GRU, result="last")
@sound("RNN, last output", layer=hs.RNN, result="last")
@sound("LSTM, h_n of two layers", layer=hs.LSTM, result="h_n", layers=2)
@sound("GRU, h_n of three layers", layer=hs.GRU, result="h_n", layers=3)
@sound("LSTM both ways, h_n", layer=hs.LSTM, result="h_n", both=True)
@sound("LSTM both ways, both ends of the output", layer=hs.LSTM, result="ends", both=True)
@sound("GRU both ways, mean", layer=hs.GRU, result="mean", both=True)
@sound("RNN both ways, maximum", layer=hs.RNN, result="max", both=True)
@sound("LSTM, every step", layer=hs.LSTM, result="steps")
@sound("GRU both ways, every step", layer=hs.GRU, result="steps", both=True)
@sound("torch's LSTM, time first, every step", layer=nn.LSTM, result="steps", first=False)
@sound("LSTM, time first, last output", layer=hs.LSTM, result="last", first=False)
@sound("torch's GRU, time first, h_n", layer=nn.GRU, result="h_n", first=False)
def _(first: bool = True, **options: Any) -> Any:
    return Simple(first=first, **options), (tokens(N, T) if first else tokens(T, N),), {}


class WithLengths(nn.Module):
    """One of our layers, which takes lengths, without packing."""

    def __init__(self, layer: Any, both: bool) -> None:
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(V, H, padding_idx=0), layer(H, H, batch_first=True, bidirectional=both)
        self.head = nn.Linear(H * (1 + both), 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        """Read [N, T]."""
        out, _ = self.rnn(self.embedding(x), lengths=lengths)
        mask = (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
        return self.head((out * mask).sum(1) / lengths[:, None])


@sound("LSTM with lengths, mean of true steps", layer=hs.LSTM, both=False)
@sound("LSTM both ways with lengths, mean of true steps", layer=hs.LSTM, both=True)
@sound("GRU both ways with lengths, mean of true steps", layer=hs.GRU, both=True)
def _(**options: Any) -> Any:
    return WithLengths(**options), (padded_tokens(), LENGTHS), {}


class Stateful(nn.Module):
    """A language model that keeps its state, detached, until it is reset."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.out, self.state = (
            nn.Embedding(V, H),
            hs.LSTM(H, H, batch_first=True),
            nn.Linear(H, V),
            None,
        )

    def reset(self) -> None:
        """Start again."""
        self.state = None

    def forward(self, x: Tensor) -> Any:
        """Read [N, T]."""
        out, (h, c) = self.lstm(self.embedding(x), self.state)
        self.state = h.detach(), c.detach()  # type: ignore[assignment]
        return self.out(out)


@sound("language model that keeps its state, with a reset")
def _() -> Any:
    return Stateful(), (tokens(),), {"causal": True}


@sound("a bare LSTM, time first", layer=hs.LSTM)
@sound("a bare GRU, time first", layer=nn.GRU)
def _(layer: Any) -> Any:
    return layer(C, H), (torch.randn(T, N, C),), {}


@sound("layers in a Sequential, converted")
def _() -> Any:
    class First(nn.Module):
        def forward(self, out: tuple[Tensor, Any]) -> Any:
            return out[0]

    model = nn.Sequential(nn.LSTM(C, H, batch_first=True), First(), nn.Linear(H, 2))
    return hs.convert(model), (torch.randn(N, T, C),), {}


@sound("int8 weights")
def _() -> Any:
    model = Simple(hs.LSTM, "last").eval()
    return hs.convert(model, weights="int8"), (tokens(),), {}


@sound("one row alone")
def _() -> Any:
    return Simple(hs.LSTM, "last"), (tokens(1, T),), {}


@sound("long series, 200 steps")
def _() -> Any:
    return BlockRnn("LSTM"), (torch.randn(N, 200, C),), {}


@sound("frozen encoder under no_grad")
class _Frozen(nn.Module):
    def __new__(cls) -> Any:
        model = super().__new__(cls)
        model.__init__()  # type: ignore[misc]
        model.encoder.requires_grad_(False)
        return model, (torch.randn(N, T, C),), {}

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rnn, self.head = (
            nn.LSTM(C, H, batch_first=True),
            hs.GRU(H, H, batch_first=True),
            nn.Linear(H, 2),
        )

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            encoded, _ = self.encoder(x)
        return self.head(self.rnn(encoded)[1][-1])


class LossInside(nn.Module):
    """A model that returns its loss with the scores when it is given labels, as transformers' models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(V, H), hs.LSTM(H, H, batch_first=True), nn.Linear(H, V)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Read [N, T]."""
        logits = self.head(self.lstm(self.embedding(input_ids))[0])
        if labels is None:
            return {"logits": logits}
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"loss": loss, "logits": logits}


@sound("scores and a loss in a dict")
def _() -> Any:
    x = tokens()
    return LossInside(), (), {"input_ids": x, "labels": x, "causal": True}


@sound("language model with shifted targets and its loss")
def _() -> Any:
    x = tokens(N, T + 1)
    model = Simple(hs.LSTM, "steps")
    model.head = nn.Linear(H, V)
    return (
        model,
        (x[:, :-1],),
        {"targets": x[:, 1:], "loss": lambda out, y: functional.cross_entropy(out.transpose(1, 2), y)},
    )


@sound("tagger with a loss that ignores padding")
def _() -> Any:
    x = padded_tokens()
    y = torch.randint(0, 3, (N, T)).masked_fill(x == 0, -100)
    loss = lambda out, y: functional.cross_entropy(out.flatten(0, 1), y.flatten())  # noqa: E731
    return Simple(hs.LSTM, "steps"), (x,), {"lengths": LENGTHS, "targets": y, "loss": loss}
