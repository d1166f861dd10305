"""Finds LSTMs, GRUs and plain RNNs in a torch state dict, or in a file of one, by its tensors' names and shapes.

No code in a file is run. The pickles in torch's files are inspected before torch reads them: its error message quotes
in full whatever a pickle named or called, and searching it takes quadratic time. A name of one megabyte keeps torch
busy for hours, and a tuple of tuples that keeps doubling never ends. Torch also rejects all that is rejected here.
"""

import pickletools
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hiddenstate.base.files import check_is_file
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import with_article
from hiddenstate.base.reading import check_safetensors, check_zip, reading, unpacked_limit
from hiddenstate.cells.cell import Weights
from hiddenstate.cells.kinds import CELLS
from hiddenstate.engine.weights import dequantise
from hiddenstate.errors import ArgumentError, ArgumentTypeError, DtypeError, FileFormatError, NameUnknownError
from hiddenstate.interop.build import K, build_kind, build_layer, layer_class
from hiddenstate.interop.found import Found
from hiddenstate.interop.layouts import TORCH, layout_for, to_weights
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import SCALE, is_matrix, keep, stored_names
from hiddenstate.nn.rnn import LAYERS, rnn_mode
from hiddenstate.structure.names import LayerDirection, layer_directions
from hiddenstate.structure.sizes import PARAMETER_STEMS

# How torch's error names a class that loading the file would have run.
KERAS_ENDINGS = (".keras", ".h5", ".hdf5")
_REFUSED_CLASS = re.compile(r"GLOBAL (\S+) was not an allowed global")
_LONGEST = 500  # maximum number of characters in a class name
_ZIP = b"PK\x03\x04"
# Pickles at the start of a file in the old format: three for the format, one for the tensors, one for their keys.
_OLD = 5
# The kinds of values on the stack: a named class or function, an integer, the string "storage", a tuple that starts
# with it (which identifies a storage), or anything else.
_GLOBAL, _NUMBER, _STORAGE_TEXT, _STORAGE, _ELSE = range(5)
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING", "STRING"}


def read_checkpoint(path: str | Path) -> Mapping[Any, Any]:
    """Read a state dict, or a dict with state dicts inside, from a ``.safetensors`` file or a file of `torch.save`."""
    check_is_file(path)
    with reading(path):
        loaded = _tensors(path) if Path(path).suffix == ".safetensors" else _load(path)
        if not isinstance(loaded, Mapping):
            raise FileFormatError(f"{path} contains a {type(loaded).__name__}, expected a state dict")
    return loaded


def _tensors(path: str | Path) -> object:
    check_safetensors(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise FileFormatError(f"{path} is not a safetensors file, or is damaged: {error}") from error


def _load(path: str | Path) -> object:
    try:
        if zipfile.is_zipfile(path):
            check_zip(path)
        check_torch_file(path)
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileFormatError:
        raise
    except Exception as error:  # torch may raise almost anything for a file that is not a checkpoint
        refused = _REFUSED_CLASS.search(str(error))
        if refused or "TorchScript" in str(error):
            holds = f"a pickled {refused[1]}" if refused else "a TorchScript program"
            raise FileFormatError(
                f"{path} holds {holds}, not just tensors; reading it would run code from the file. If you trust it, "
                "load it with torch, save its state_dict(), and read that"
            ) from error
        cure = ": hs.from_keras reads it" if Path(path).suffix in KERAS_ENDINGS else ""
        raise FileFormatError(f"{path} was not written by torch.save, or is damaged{cure}") from error
    return loaded


def check_torch_file(path: str | Path) -> None:
    """Reject a file whose contents torch would refuse with a message that quotes them."""
    with Path(path).open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            check_pickle(BytesIO(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")))
            return
        file.seek(0)
        if _is_tar(file):
            raise FileFormatError(f"{path} was written by torch before 0.1.10, whose files are not supported")
        file.seek(0)
        for _ in range(_OLD):
            check_pickle(file)


def check_pickle(stream: IO[bytes]) -> None:
    """Simulate one pickle on the kinds of values on its stack."""
    machine = _PickleMachine()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and isinstance(argument, str) and len(argument) > _LONGEST:
            raise FileFormatError(f"it has a class name of {len(argument):,} characters")
        if opcode.name in ("REDUCE", "NEWOBJ") and machine.stack[-2] != _GLOBAL:
            raise FileFormatError("it calls an object created in it; reading it would run code from the file")
        if opcode.name == "BINPERSID" and machine.stack[-1] not in (_STORAGE, _NUMBER):
            raise FileFormatError("it loads something other than a tensor")
        machine.follow(opcode, argument)


class _PickleMachine:
    """A pickle machine that works on the kinds of values instead of the values."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self._marks: list[int] = []  # stack heights at the marks
        self._memo: dict[int, int] = {}

    def follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Apply an opcode to the stack."""
        if opcode.name == "MARK":
            self._marks.append(len(self.stack))
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[argument] = self.stack[-1]
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self._memo[argument])
        else:
            kind = _kind(opcode, argument, self._take(opcode.stack_before))
            self.stack += [kind] * len(opcode.stack_after)

    def _take(self, kinds: list[pickletools.StackObject]) -> list[int]:
        """Pop an opcode's operands and return them; for a list up to a mark, only the list."""
        is_marked = pickletools.markobject in kinds
        at = self._marks.pop() if is_marked else len(self.stack)
        first = at - (kinds.index(pickletools.markobject) if is_marked else len(kinds))
        if first < 0:
            raise IndexError("an empty stack")
        taken = self.stack[at if is_marked else first :]
        del self.stack[first:]
        return taken


def _kind(opcode: pickletools.OpcodeInfo, argument: Any, taken: list[int]) -> int:
    """The kind of value that an opcode pushes."""
    if opcode.name == "GLOBAL":
        return _GLOBAL
    if opcode.name in _TEXTS:
        return _STORAGE_TEXT if argument == "storage" else _ELSE
    if opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
        return _STORAGE if taken[:1] == [_STORAGE_TEXT] else _ELSE
    return _NUMBER if isinstance(argument, int) and opcode.stack_after == [pickletools.pyint] else _ELSE


def _is_tar(file: IO[bytes]) -> bool:
    try:
        tarfile.open(fileobj=file, mode="r:").close()
    except (tarfile.TarError, ValueError, EOFError, OSError):
        return False
    return True


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
        names = sorted(LAYERS, key=lambda name: hasattr(LAYERS[name], "_torch"))  # of as many gates, torch's counts
        return {len(CELLS[name].gates) * columns: CELLS[name].label for name in names}.get(rows, "LSTM")

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


# Dicts in a file may be nested, even in themselves. Beyond this depth, the file is not a state dict.
_DEEPEST, _MOST_ENTRIES = 100, 1_000_000

Source = str | Path | Mapping[Any, Any]


def from_state_dict(
    source: Source,
    prefix: str | None = None,
    *,
    kind: type[K] = LSTM,  # type: ignore[assignment]
    batch_first: bool = False,
    dropout: float = 0.0,
    nonlinearity: str = "tanh",
) -> K:
    """Make an LSTM, a GRU or a plain RNN from a torch state dict, which may belong to a larger model.

    Its layers, directions, biases and projection are inferred from the names and shapes; the weights of a cell make one
    layer. Values are copied unchanged; weight norm is folded in. int8 weights, as saved by a layer with
    ``weights="int8"``, stay int8; a cell gets their float values.

    Args:
        source: a state dict, a dict that contains state dicts (such as a training checkpoint), or the path of a
            ``.safetensors`` file or a file of `torch.save`. Only tensors are read from a file; no code in it is run.
        prefix: the layer, if there are several of its kind: the prefix of its keys, such as ``"encoder.lstm"``;
            ``""`` for keys without a prefix.
        kind: the class to make: `LSTM`, `GRU`, `RNN`, or a cell of these. A cell is made of one layer and direction
            without a projection.
        batch_first: the layer's option, which weights do not determine.
        dropout: the layer's option, which weights do not determine.
        nonlinearity: for an `RNN`: ``"tanh"`` or ``"relu"``, which weights do not determine.

    Raises:
        NameUnknownError: there is no layer of this kind, or none with this prefix, or some of its tensors are missing.
        ArgumentError: there are several (the message lists them), it is of another kind, it has a parametrization other
            than weight norm, or the nonlinearity is unknown.
        ArgumentTypeError: the source has the wrong type, or ``kind`` is not such a class.
        ShapeError, RankError, DtypeError: its tensors do not match each other.
        FileFormatError: the file is damaged, of another kind, or contains more than tensors.
        FileNotFoundError, IsADirectoryError: the file does not exist, or is a folder.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 3, num_layers=2))
    >>> from_state_dict(model.state_dict())
    LSTM(4, 3, num_layers=2)
    """
    rnn_mode(nonlinearity)
    options = {"batch_first": batch_first, "dropout": dropout, "nonlinearity": nonlinearity}
    layers = in_state_dict(source, kind=layer_class(kind), **options)
    return build_kind(layers.one(prefix and prefix.removesuffix(".")), kind)


def in_state_dict(source: Source, *, kind: type[Any] = LSTM, **options: Any) -> Found[Any]:
    """List the layers of a kind in a state dict or checkpoint file; see `from_state_dict`."""
    if not isinstance(source, (str, Path, Mapping)):
        hint = "; give its state_dict(), or use hs.from_torch" if isinstance(source, nn.Module) else ""
        raise ArgumentTypeError(f"expected a state dict or the path of a file, got {type(source).__name__}{hint}")
    if isinstance(source, Mapping):
        return _find_layers("this state dict", dict(_flattened(source)), kind, options)
    loaded = read_checkpoint(source)
    with reading(source):
        tensors = dict(_flattened(loaded))
        # A view of a few bytes can claim any size, and views are copied here.
        size, limit = sum(tensor.nbytes for tensor in tensors.values()), unpacked_limit(source)
        if size > limit:
            raise FileFormatError(
                f"{source} claims {size:,} bytes of tensors, more than this file can hold (at most {limit:,})"
            )
        return _find_layers(str(source), tensors, kind, options)


def _find_layers(where: str, tensors: Mapping[str, Tensor], kind: type[Any], options: Mapping[str, Any]) -> Found[Any]:
    groups = find_groups(tensors)
    builders = {group.name: partial(_build, group, kind, options) for group in groups if group.kind == kind.__name__}
    others = {group.name: group.what for group in groups if group.kind != kind.__name__}
    return Found(where, builders, others, chooser="prefix", kind=kind)


def _build(group: Group, kind: type[Any], options: Mapping[str, Any]) -> Any:
    layer = build_layer(group.weights(), kind, bidirectional=group.bidirectional, **options)
    if group.is_int8 and not group.is_cell:
        kept = group.as_kept()
        keep(layer, {name: kept[name].clone(memory_format=torch.contiguous_format) for name in stored_names(layer)})
    return layer


def _flattened(state: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict and of those inside it, by their keys joined with dots."""
    around, seen = [("", iter(state.items()))], 0
    while around:
        prefix, entries = around[-1]
        for key, value in entries:
            seen += 1
            if seen > _MOST_ENTRIES or len(around) > _DEEPEST:
                raise FileFormatError(
                    f"dicts are nested more than {_DEEPEST} deep, or have more than {_MOST_ENTRIES:,} entries"
                )
            if isinstance(value, Mapping):
                around.append((f"{prefix}{key}.", iter(value.items())))
                break
            if isinstance(value, Tensor):
                yield f"{prefix}{key}", value.detach()
        else:
            around.pop()
