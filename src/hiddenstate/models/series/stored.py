"""A series model in a model folder or file: a network of the simple shape, with its columns, units and scales."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, get_type_hints

from hiddenstate.errors import FileFormatError
from hiddenstate.models.series.network import ACTIVATIONS, Dense, NetworkShape, SeriesNetwork
from hiddenstate.models.series.scale import Scale, scale_of
from hiddenstate.structure.sizes import Sizes

_MOST_LAYERS, _LARGEST = 64, 2**24  # linear layers; features, units, steps of a window or horizon


class StoredSeries(SeriesNetwork):
    """A network and its columns, as a model folder stores them."""

    kind: ClassVar[str] = "series-model"

    def __init__(self, shape: NetworkShape, columns: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        super().__init__(shape)
        self.columns, self.config = columns, config

    def to_data(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the contents of ``config.json`` and ``vocabulary.json``."""
        return dict(self.config), dict(self.columns)

    @classmethod
    def from_data(cls, config: Any, columns: Any) -> "StoredSeries":
        """Make the network that files describe, with random weights, after checking everything in them."""
        if not isinstance(config, dict) or not isinstance(columns, dict):
            raise FileFormatError("a series model must have objects of settings and of columns")
        before, after = (_dense(config, name) for name in ("before", "after"))
        sizes = Sizes(**{name: _of_type(config["rnn"], name, kind) for name, kind in get_type_hints(Sizes).items()})
        steps, horizon = _whole(config, "steps"), _whole(config, "horizon")
        if config["window"] is not None and _whole(config, "window") < 1:
            raise FileFormatError("window must be at least 1")
        if config["then"] not in ACTIVATIONS or max(sizes.input_size, sizes.hidden_size) > _LARGEST:
            raise FileFormatError(f"there is no activation {config['then']!r:.40}, or a size is too large")
        shape = NetworkShape(before, sizes, config["then"], _of_type(config, "last", bool), after, steps)
        features, targets = (_texts(columns, name) for name in ("features", "targets"))
        reads = [*(layer.in_features for layer in before), sizes.input_size, *(layer.in_features for layer in after)]
        wide = sizes.directions * sizes.output_size
        gives = [*(layer.out_features for layer in before), wide, *(layer.out_features for layer in after)]
        fits = [len(features), *gives] == [*reads, len(targets) * max(1, steps)]  # each reads what the one before gives
        if not fits or (steps and (not shape.last or horizon != steps)):
            raise FileFormatError("the sizes of its layers do not fit each other, or the columns")
        units = columns["units"]
        if not isinstance(units, dict) or not all(isinstance(part, str) for part in units.values()):
            raise FileFormatError("units must be texts by column")
        stored_scale(config, "scale", features)
        stored_scale(config, "target_scale", targets)
        return cls(shape, columns, config)


def stored_scale(config: Mapping[str, Any], name: str, columns: Sequence[str]) -> Scale:
    """Return a scale of ``config.json``, after checks."""
    if len(config[name]) != len(columns):
        raise FileFormatError(f"{name} must have a pair of numbers for each column")
    if not all(type(number) in (int, float) for pair in config[name] for number in pair):
        raise FileFormatError(f"{name} must be pairs of numbers")
    return scale_of(columns, dict(zip(columns, config[name], strict=True)), name)


def _of_type(data: Any, name: str, kind: type) -> Any:
    if type(data[name]) is not kind:
        raise FileFormatError(f"{name} is {data[name]!r:.40}, expected {kind.__name__}")
    return data[name]


def _whole(data: Any, name: str) -> int:
    number: int = _of_type(data, name, int)
    if not 0 <= number <= _LARGEST:
        raise FileFormatError(f"{name} is {number}, expected 0 to {_LARGEST:,}")
    return number


def _texts(data: Any, name: str) -> list[str]:
    names = _of_type(data, name, list)
    if not names or not all(isinstance(part, str) for part in names) or len(set(names)) < len(names):
        raise FileFormatError(f"{name} must be different texts")
    return list(names)


def _dense(config: Any, name: str) -> tuple[Dense, ...]:
    layers = [Dense(*layer) for layer in _of_type(config, name, list)]
    for layer in layers:
        numbers = [part for part in layer[:2] if type(part) is int and 0 < part <= _LARGEST]
        if len(numbers) < 2 or type(layer.bias) is not bool or layer.then not in ACTIVATIONS:
            raise FileFormatError(f"{name} has a layer {list(layer)!r:.80}, expected sizes, a bias and an activation")
    if len(layers) > _MOST_LAYERS:
        raise FileFormatError(f"{name} has {len(layers)} layers, expected at most {_MOST_LAYERS}")
    return tuple(layers)
