"""The inputs and outputs of the ONNX model of an LSTM, a GRU or a plain RNN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hiddenstate.structure.sizes import Sizes

Form = Literal["sequence", "step"]
Dim = int | str


class Value(NamedTuple):
    """An input or output of the model; named dimensions may have any size."""

    name: str
    shape: list[Dim]
    meaning: str
    whole: bool = False  # whether the type is int64 instead of the weights' type


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model.

    A ``"sequence"`` has the signature of the layer's call: ``x [T, N, C]`` (``[N, T, C]`` with ``batch_first``), then
    ``lengths [N]``, then ``h0`` and ``c0 [L*D, N, H]``, to ``out``, ``h_n`` and ``c_n``. A ``"step"`` reads one time
    step: ``x [N, C]``, ``h`` and ``c [L, N, H]``, to ``out [N, H]``, ``h_n`` and ``c_n``. Only an LSTM has ``c``.
    """

    sizes: Sizes
    form: Form = "sequence"
    batch_first: bool = False
    lengths: bool = False
    states: bool = True  # whether the state is an input and output; otherwise it starts at zero
    T: Dim = "T"
    N: Dim = "N"

    def inputs(self) -> list[Value]:
        """The model's inputs, in order."""
        meaning = "zeros at the start of a sequence, then the previous step's output"
        if self.form == "sequence":
            meaning = "state before the first step; zeros by default"
        return [
            self._steps("x", self.sizes.input_size, "input"),
            *([Value("lengths", [self.N], "time steps of each row, 0..T", whole=True)] if self.lengths else []),
            *self._states(self.initial, meaning),
        ]

    def outputs(self) -> list[Value]:
        """The model's outputs, in order."""
        meaning = "state after this step: the next step's input"
        if self.form == "sequence":
            meaning = "state after each row's last step"
        return [
            self._steps("out", self.sizes.directions * self.sizes.hidden_size, "hidden state of the last layer"),
            *self._states(self.final, meaning),
        ]

    @property
    def initial(self) -> tuple[str, ...]:
        """The names of the initial state's inputs."""
        return tuple(name if self.form == "step" else f"{name}0" for name in self.sizes.kind.carried)

    @property
    def final(self) -> tuple[str, ...]:
        """The names of the final state's outputs."""
        return tuple(f"{name}_n" for name in self.sizes.kind.carried)

    def _steps(self, name: str, features: int, meaning: str) -> Value:
        if self.form == "step":
            return Value(name, [self.N, features], f"{meaning}, one time step of each row")
        axes = [self.N, self.T] if self.batch_first else [self.T, self.N]
        return Value(name, [*axes, features], f"{meaning}, [{'N, T' if self.batch_first else 'T, N'}, features]")

    def _states(self, names: Sequence[str], meaning: str) -> list[Value]:
        shape: list[Dim] = [len(self.sizes.layer_directions), self.N, self.sizes.hidden_size]
        kinds = [self.sizes.kind.meanings[name] for name in self.sizes.kind.carried]
        described = [
            Value(name, shape, f"{kind.removesuffix(' state')} {meaning}")
            for name, kind in zip(names, kinds, strict=True)
        ]
        return described if self.states else []
