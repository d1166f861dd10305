"""The recurrent layers in the configuration of a Keras model: their positions and settings."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hiddenstate.errors import ArgumentError

Path = tuple[str, ...]

_RECURRENT = re.compile(r".*(LSTM|GRU|RNN).*")
_KINDS = {"LSTM": "LSTM", "GRU": "GRU", "SimpleRNN": "RNN"}
_NONLINEARITIES = ("tanh", "relu")
_DEFAULTS = {"activation": "tanh", "recurrent_activation": "sigmoid"}


@dataclass(frozen=True)
class Entry:
    """A recurrent layer (or a cell of one) in a model's configuration."""

    names: Path  # the layer's name, preceded by those of the enclosing layers
    places: Path  # the layer's path in a file's groups, which Keras names by class and number
    kind: str  # the layer's class
    config: Mapping[str, Any]
    wrapper: Mapping[str, Any]  # configuration of the Bidirectional or RNN around it
    backward: Mapping[str, Any] | None = None  # configuration of the layer that reads in reverse

    @property
    def name(self) -> str:
        """Its names, joined by slashes."""
        return "/".join(self.names)

    @property
    def cell(self) -> str:
        """The kind of cell: LSTM, GRU or RNN; empty for other recurrent layers."""
        return _KINDS.get(self.kind.removesuffix("Cell"), "")

    @property
    def what(self) -> str:
        """Describe its kind, for an error message."""
        return f"it is a {self.kind}" + (f". kind=hs.{self.cell} reads it" if self.cell else "")

    @property
    def nonlinearity(self) -> str:
        """The activation of a plain RNN."""
        return _function(self.config.get("activation", _DEFAULTS["activation"]))

    @property
    def resets_first(self) -> bool:
        """Whether a GRU without biases multiplies the state by the reset gate before the matrix product."""
        return not self.config.get("reset_after", False)

    @property
    def time_first(self) -> bool:
        """Whether its input is ``[T, N, C]``, which was an option in earlier versions of Keras."""
        return bool(self.config.get("time_major") or self.wrapper.get("time_major"))

    def refuse(self, *, flipped: bool) -> None:
        """Reject settings that would change the numbers of our layer."""
        ours = f"an hs.{self.cell}"
        activation = self.nonlinearity if self.cell == "RNN" and self.nonlinearity in _NONLINEARITIES else "tanh"
        wanted_of = {"activation": activation, "recurrent_activation": "sigmoid"}
        for config in (self.config, *([self.backward] if self.backward else [])):
            for option, wanted in wanted_of.items():
                got = _function(config.get(option, _DEFAULTS[option]))
                if got != wanted:
                    raise ArgumentError(f"the {self.cell} {self.name!r} has {option}={got!r}, but {ours} has {wanted}")
        merge = self.wrapper.get("merge_mode", "concat")
        if merge not in ("concat", None):
            raise ArgumentError(
                f"the {self.cell} {self.name!r} has merge_mode={merge!r}, but {ours} concatenates its directions: "
                "read the list that its get_weights() gives, and merge the halves of the output"
            )
        if self.config.get("go_backwards") or self.wrapper.get("go_backwards"):
            self._refuse_backwards(flipped)

    def _refuse_backwards(self, flipped: bool) -> None:
        what, ours = f"the {self.cell} {self.name!r} has go_backwards=True", f"an hs.{self.cell}"
        if self.backward is not None:
            raise ArgumentError(f"{what} in a Bidirectional, but the first direction of {ours} reads forward")
        if not flipped:
            raise ArgumentError(
                f"{what}, but {ours} reads forward or in both directions. With flipped=True you get one that reads "
                "forward: give it the flipped sequence, x.flip(1)"
            )


def recurrent_layers(model: Mapping[str, Any]) -> list[Entry]:
    """List the recurrent layers in a model's configuration (``class_name`` and ``config``)."""
    return list(_walk(model, (), ()))


def read_layer(class_name: str, config: Mapping[str, Any]) -> Entry | None:
    """Parse one layer's configuration; return None if it is not a recurrent layer."""
    layer = {"class_name": class_name, "config": config}
    return next(_walk(layer, (str(config.get("name", class_name)),), ("",)), None)


def _walk(layer: Mapping[str, Any], names: Path, places: Path) -> Iterator[Entry]:
    kind, config = layer.get("class_name", ""), layer.get("config")
    if isinstance(config, list):  # a Sequential model saved by Keras before 2.3
        config = {"layers": config}
    if not isinstance(config, Mapping):
        return
    if "layers" in config:
        yield from _children(config["layers"], names, places)
    elif kind == "Bidirectional":
        inner = config["layer"]
        backward = config.get("backward_layer", {"config": {}})["config"]
        yield Entry(names, places, inner["class_name"], inner["config"], config, backward)
    elif kind == "RNN":
        yield from _cells(config, names, places)
    elif isinstance(config.get("layer"), Mapping):  # such as TimeDistributed
        inner = config["layer"]
        yield from _walk(inner, (*names, _name(inner)), (*places, "layer"))
    elif _RECURRENT.fullmatch(kind):
        yield Entry(names, places, kind, config, {})


def _children(layers: list[Mapping[str, Any]], names: Path, places: Path) -> Iterator[Entry]:
    used: dict[str, int] = {}
    for layer in layers:
        place = _snake_case(layer["class_name"])
        count = used[place] = used.get(place, -1) + 1
        yield from _walk(layer, (*names, _name(layer)), (*places, f"{place}_{count}" if count else place))


def _cells(rnn: Mapping[str, Any], names: Path, places: Path) -> Iterator[Entry]:
    cell = rnn["cell"]
    cells = cell["config"].get("cells")
    if cells is None:
        yield Entry(names, places, cell["class_name"], cell["config"], rnn)
        return
    for entry in _children(cells, (*names, _name(cell)), (*places, "cell")):
        yield Entry(entry.names, entry.places, entry.kind, entry.config, rnn)


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name", layer.get("name", layer["class_name"])))


def _snake_case(name: str) -> str:
    """Convert a class name as Keras does for the groups of a file."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _function(value: Any) -> str:
    """The name of a function, in the format of any version of Keras."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        return inner if isinstance(inner, str) else str(value.get("registered_name") or value.get("class_name"))
    return "linear" if value is None else str(value)
