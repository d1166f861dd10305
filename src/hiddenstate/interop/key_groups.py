"""Groups the tensors of a state dict by recurrent layer, by torch's parameter names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import with_article
from hiddenstate.cells.cell import Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine.weights import dequantise
from hiddenstate.errors import ArgumentError, DtypeError, NameUnknownError
from hiddenstate.interop.layouts import TORCH, layout_for, to_weights
from hiddenstate.nn.quantised import SCALE, is_matrix
from hiddenstate.structure.names import LayerDirection, layer_directions
from hiddenstate.structure.sizes import PARAMETER_STEMS

_KEY = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?<!parametrizations\.)(?:parametrizations\.)?"
    rf"(?P<stem>{'|'.join(PARAMETER_STEMS)})(?P<suffix>(?:_l(?P<layer>\d+)(?:_reverse)?)?)(?P<rest>(?:[._].*)?)"
)
# Up to this many layers, missing tensors are listed one by one.
_MOST_LAYERS = 1000
# The tensors that replace a weight under torch's old and new weight norm.
_WEIGHT_NORM = {"_g": "length", "_v": "direction", ".original0": "length", ".original1": "direction"}


@dataclass
class Group:
    """The tensors under one prefix that may belong to an LSTM (or to an LSTMCell, whose names have no layer)."""

    prefix: str
    by_suffix: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # keyed by suffix, then by stem
    normed: dict[tuple[str, str], dict[str, Tensor]] = field(default_factory=dict)  # keyed by suffix and stem
    scales: dict[tuple[str, str], Tensor] = field(default_factory=dict)  # of int8 matrices; keyed by suffix and stem
    strange: dict[tuple[str, str], str] = field(default_factory=dict)  # names left by an unknown parametrization

    @property
    def name(self) -> str:
        """The prefix without its dot."""
        return self.prefix.removesuffix(".")

    @property
    def is_whole(self) -> bool:
        """Whether there are any weights, and not just other tensors with such names."""
        return any(stem.startswith("weight") for stems in self.by_suffix.values() for stem in stems)

    @property
    def kind(self) -> str:
        """``LSTM``, ``GRU`` or ``RNN``, by the recurrent weights' shape ``[G*H, H]`` for G gates."""
        hidden = self._hidden
        if hidden is None or any("weight_hr" in stems for stems in self.by_suffix.values()):
            return "LSTM"
        rows, columns = hidden.shape
        return {len(cell.gates) * columns: cell.label for cell in CELLS.values()}.get(rows, "LSTM")

    @property
    def what(self) -> str:
        """Describe its kind, and how that is recognised, for an error message."""
        if self._hidden is None:
            return f"it seems to be an LSTM. kind=hs.{self.kind} reads it"
        kind = "a plain RNN" if self.kind == "RNN" else with_article(self.kind)
        gates = len(layout_for(TORCH, self.kind).gates)
        rows, shape = f"{gates}H" if gates > 1 else "H", list(self._hidden.shape)
        return f"it is {kind}: its weight_hh is [{rows}, H] = {shape}. kind=hs.{self.kind} reads it"

    @property
    def num_layers(self) -> int:
        """The number of layers, from the highest number in the names."""
        numbers = (re.match(r"_l(\d+)", ending) for ending in self.by_suffix)
        return 1 + max(int(number[1]) if number else 0 for number in numbers)

    @property
    def bidirectional(self) -> bool:
        """Whether any name belongs to a reverse direction."""
        return any(ending.endswith("_reverse") for ending in self.by_suffix)

    @property
    def is_cell(self) -> bool:
        """Whether it is a cell, whose names have no layer."""
        return "" in self.by_suffix

    @property
    def is_int8(self) -> bool:
        """Whether all matrices are int8, each with its scales, as in an `LSTM` with ``weights="int8"``."""
        matrices = {(ending, stem) for ending, stems in self.by_suffix.items() for stem in stems if is_matrix(stem)}
        return matrices == self.scales.keys()

    def as_kept(self) -> dict[str, Tensor]:
        """The tensors, named as in the state dict of an `LSTM` with ``weights="int8"``."""
        kept = {stem + ending: value for ending, stems in self.by_suffix.items() for stem, value in stems.items()}
        return kept | {stem + ending + SCALE: scale for (ending, stem), scale in self.scales.items()}

    def weights(self) -> list[Weights]:
        """The weights of each layer and direction, in the order of `layer_directions`. Values are copied."""
        self._refuse_strange()
        self._check_memory()
        if self.is_cell:
            return [self._floats("")]
        if self.num_layers > _MOST_LAYERS + len(self.by_suffix):
            raise NameUnknownError(
                f"the {self.kind} {self.name!r} has no tensors for most of its {self.num_layers} layers"
            )
        wanted = layer_directions(self.num_layers, self.bidirectional)
        missing = [direction.name for direction in wanted if direction.suffix not in self.by_suffix]
        if missing:
            have = ", ".join(direction.name for direction in wanted if direction.suffix in self.by_suffix)
            raise NameUnknownError(
                f"the {self.kind} {self.name!r} has tensors for {have}, but none for {', '.join(missing)}"
            )
        return [self._floats(direction.suffix) for direction in wanted]

    def _floats(self, ending: str) -> Weights:
        scales = {stem: scale for (of, stem), scale in self.scales.items() if of == ending}
        tensors = self.by_suffix[ending]
        for stem in tensors:
            if is_matrix(stem) and tensors[stem].dtype is torch.int8 and stem not in scales:
                name = stem + ending
                raise DtypeError(f"{name} is int8, but its scales {name + SCALE} are missing: save both")
        floats = {stem: dequantise(tensors[stem], scale, stem + ending) for stem, scale in scales.items()}
        return to_weights(tensors | floats, layout_for(TORCH, self.kind))

    @property
    def _hidden(self) -> Tensor | None:
        """The first layer's recurrent weights, if there are any."""
        first = self.by_suffix.get("") or self.by_suffix.get(LayerDirection(0, reverse=False).suffix, {})
        hidden = first.get("weight_hh")
        return hidden if hidden is not None and hidden.dim() == 2 else None

    def _check_memory(self) -> None:
        check_memory_of((stem + end, value) for end, stems in self.by_suffix.items() for stem, value in stems.items())

    def _refuse_strange(self) -> None:
        left = [name for (ending, stem), name in self.strange.items() if stem not in self.by_suffix.get(ending, {})]
        if left:
            raise ArgumentError(
                f"the {self.kind} {self.name!r} has an unknown parametrization (it left {', '.join(left)}): "
                "make it permanent before saving, such as with torch.nn.utils.parametrize.remove_parametrizations"
            )


def find_groups(tensors: Mapping[str, Tensor]) -> list[Group]:
    """Find every group of a state dict's tensors that may be an LSTM, a GRU or a plain RNN."""
    groups: dict[tuple[str, bool], Group] = {}
    for key, tensor in tensors.items():
        if match := _KEY.fullmatch(key):
            group = groups.setdefault((match["prefix"], match["layer"] is None), Group(match["prefix"]))
            _put(group, match, tensor)
    for group in groups.values():
        _keep_scales_of_8_bits(group)
        for (ending, stem), parts in _folded(group):
            group.by_suffix.setdefault(ending, {})[stem] = parts
    return [group for group in groups.values() if group.is_whole]


def _put(group: Group, match: re.Match[str], tensor: Tensor) -> None:
    ending, stem, rest = match["suffix"], match["stem"], match["rest"]
    if not rest:
        group.by_suffix.setdefault(ending, {})[stem] = tensor
        return
    if rest == SCALE:
        group.scales[ending, stem] = tensor
    group.strange[ending, stem] = match[0].removeprefix(group.prefix)
    if rest in _WEIGHT_NORM:
        group.normed.setdefault((ending, stem), {})[_WEIGHT_NORM[rest]] = tensor


def _keep_scales_of_8_bits(group: Group) -> None:
    """Ignore tensors that are named like scales but belong to no int8 matrix, such as another library's."""
    stored = {(ending, stem): value for ending, stems in group.by_suffix.items() for stem, value in stems.items()}
    group.scales = {
        key: scale
        for key, scale in group.scales.items()
        if key in stored and is_matrix(key[1]) and stored[key].dtype is torch.int8
    }


def _folded(group: Group) -> Iterator[tuple[tuple[str, str], Tensor]]:
    """Yield the weights that weight norm computes from its tensors."""
    for key, parts in group.normed.items():
        if parts.keys() != {"length", "direction"}:
            continue
        length, direction = parts["length"], parts["direction"]
        # The shape of the lengths shows which axis was kept: [rows, 1], [1, columns], or [] for none.
        for axis in (0, 1, -1):
            if direction.dim() == 2 and length.shape == torch.norm_except_dim(direction, 2, axis).shape:
                yield key, torch._weight_norm(direction, length, axis)
                break
