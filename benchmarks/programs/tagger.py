"""Trains a tagger on sentences of many lengths: skorch's NeuralNet around a packed two-layer LSTM."""

import sys
import time
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import Dataset
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
WORDS, TAGS, LONGEST, SENTENCES = 500, 12, 40, 1024


class Tagger(nn.Module):
    """Words to tags."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, 64)
        self.lstm = nn.LSTM(64, 96, num_layers=2, bidirectional=True, batch_first=True)
        self.tag = nn.Linear(192, TAGS)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of the tags, ``[N, TAGS, T]``."""
        packed = pack_padded_sequence(self.embed(words), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=LONGEST)
        logits: Tensor = self.tag(out)
        return logits.transpose(1, 2)


def sentences() -> tuple[dict[str, Any], Any]:
    """Words drawn at random; a word's tag depends on it and on the previous word."""
    draws = np.random.default_rng(0)
    words = draws.integers(0, WORDS, (SENTENCES, LONGEST))
    lengths = draws.integers(3, LONGEST + 1, SENTENCES)
    tags = (words + np.roll(words, 1, axis=1)) % TAGS
    tags[np.arange(LONGEST) >= lengths[:, None]] = -100
    return {"words": words, "lengths": lengths}, tags


torch.manual_seed(0)
x, y = sentences()
net = NeuralNet(
    Tagger, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3, batch_size=32, train_split=None,
    dataset=Dataset, verbose=0,
)  # fmt: skip
begin = time.perf_counter()
net.fit(x, y, epochs=EPOCHS)
print(f"seconds {time.perf_counter() - begin:.3f}, last loss {net.history[-1, 'train_loss']:.5f}")
