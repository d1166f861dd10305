"""The language model, which continues texts and scores them."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from hiddenstate_runtime.arrays import Array
from hiddenstate_runtime.layer import Layer, cell_of
from hiddenstate_runtime.shared.errors import ArgumentError, FileFormatError
from hiddenstate_runtime.shared.sampling import DEFAULT_SAMPLING, Sampling, chooser, head_scores
from hiddenstate_runtime.shared.tokens import Tokens
from hiddenstate_runtime.tagger import matrix, vector

STEPS_TOGETHER = 4096  # tokens scored at once


class LanguageModel:
    """A language model with constant weights, which threads may share.

    Attributes:
        tokens: its characters or words.
        lstm: its LSTM, GRU or plain RNN, as a `Layer`, to trace or edit.
    """

    def __init__(self, file: Any, config: dict[str, Any], vocabulary: dict[str, Any]) -> None:
        if config["cutoffs"]:
            raise FileFormatError("it has an adaptive softmax, which this version does not compute")
        self.tokens = Tokens.from_data(vocabulary)
        self._reads_backwards = config["backward"]
        V, E, H = len(self.tokens), config["embedding_size"], config["hidden_size"]
        self.lstm = Layer(file.layer("lstm.", E, H, config["num_layers"], True, False, cell_of(config)))
        weight = matrix(file, "head.weight", V, E if config["tied"] else H)
        self._vectors = weight if config["tied"] else matrix(file, "embedding.weight", V, E)
        self._project = matrix(file, "project.weight", E, H).T.copy() if config["tied"] and E != H else None
        self._weight, self._bias = weight.T.copy(), vector(file, "head.bias", V)

    @classmethod
    def from_file(cls, file: Any, metadata: Mapping[str, str]) -> "LanguageModel":
        """Read the language model that a file describes."""
        return cls(file, json.loads(metadata["config"]), json.loads(metadata["vocabulary"]))

    def generate(self, prompt: str = "", length: int = 200, sampling: Sampling = DEFAULT_SAMPLING) -> Iterator[str]:
        """Yield the continuation of a prompt, one character or word at a time, each as soon as it is chosen.

        Args:
            prompt: the text to continue, which the model reads after a newline.
            length: the number of characters or words.
            sampling: how to choose them.

        Raises:
            ArgumentError: the length is negative, or the model reads backwards.
        """
        if length < 0:
            raise ArgumentError(f"length must be at least 0, got {length}")
        if self._reads_backwards:
            raise ArgumentError(
                "this model reads from the end of a text to its beginning, so it can't continue a prompt"
            )
        read = self.tokens.encode(prompt)
        written = islice(self._endless([self.tokens.start, *read.tolist()], sampling), length)
        pieces: Iterator[str] = self.tokens.pieces_of(written, int(read[-1]) if len(read) else None)
        return pieces

    def _endless(self, ids: list[int], sampling: Sampling) -> Iterator[Any]:
        stream, vectors = self.lstm.stream(), self._vectors
        scores = head_scores(self._weight, self._bias, self._project, sampling, 1)
        choose = chooser(sampling, 1, len(self.tokens))
        h = stream.feed(vectors[ids][:, None])[-1, 0]
        chosen = choose(scores(h))
        while True:
            yield chosen
            chosen = choose(scores(stream.step(vectors[chosen], out=h)))

    def surprise(self, text: str) -> Array:
        """Return the surprise of each token of a text, given the tokens before it: ``[T]``, in nats."""
        ids = np.array([self.tokens.start, *self.tokens.encode(text).tolist()])
        if self._reads_backwards:
            ids = np.concatenate([ids[:1], ids[:0:-1]])
        parts, state = [np.empty(0, np.float32)], None
        for k in range(0, len(ids) - 1, STEPS_TOGETHER):
            read, targets = ids[k : k + STEPS_TOGETHER], ids[k + 1 : k + 1 + STEPS_TOGETHER]
            out, state = self.lstm(self._vectors[read[: len(targets)]], state)
            hidden = out if self._project is None else out @ self._project
            scores = (hidden @ self._weight + self._bias).astype(np.float64)
            highest = scores.max(-1)
            total = highest + np.log(np.exp(scores - highest[:, None]).sum(-1))
            parts.append((total - scores[np.arange(len(targets)), targets]).astype(np.float32))
        return np.concatenate(parts)
