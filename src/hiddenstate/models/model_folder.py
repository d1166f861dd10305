"""Saves and loads models: as a folder, which is always complete, or as one file (see `model_file`)."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from hiddenstate.base.files import folder_beside, left_beside, put_folder, sync, write_bytes, writing
from hiddenstate.base.memory import check_memory_of
from hiddenstate.base.messages import readable_name, with_article
from hiddenstate.base.reading import check_safetensors, reading
from hiddenstate.engine.weights import dequantise, quantise
from hiddenstate.errors import ArgumentError, ArgumentTypeError, FileFormatError
from hiddenstate.models import model_file
from hiddenstate.models.building import make_meta_model
from hiddenstate.models.graph.file import KIND as GRAPH
from hiddenstate.models.graph.file import write_graph
from hiddenstate.models.language.language_model import LanguageModel
from hiddenstate.models.series.series_model import SeriesModel
from hiddenstate.models.series.stored import StoredSeries
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.nn.quantised import SCALE
from hiddenstate.nn.rnn import Layer
from hiddenstate.tracing.traceable import refuse_keras

FORMAT = "hiddenstate-model"
VERSION = 6

CONFIG, VOCABULARY, WEIGHTS, CARD = FILES = "config.json", "vocabulary.json", "weights.safetensors", "MODEL_CARD.md"
SHIPPED = ("tagger-en", "shakespeare", "seattle-weather")

Model = Tagger | LanguageModel
Loaded = TypeVar("Loaded", Tagger, LanguageModel, StoredSeries)


def shipped(name: str = "tagger-en") -> Path:
    """Return the folder of a model that comes with the package.

    Args:
        name: ``tagger-en``, an English part-of-speech tagger; ``shakespeare``, a character language model; or
            ``seattle-weather``, a forecaster of tomorrow's highest temperature, with its data beside it.

    Raises:
        ArgumentError: there is no such model.
    """
    if name not in SHIPPED:
        raise ArgumentError(f"hiddenstate comes with no model {name!r}; choose one of {', '.join(SHIPPED)}")
    return Path(__file__).parent / "shipped" / name


def find_folder(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: one with this path, or else the shipped model with this name."""
    path = Path(model)
    return shipped(str(model)) if str(model) in SHIPPED and not path.is_dir() else path


def find_complete_folder(model: str | os.PathLike[str]) -> Path:
    """Return the folder of a model, as `find_folder` does, after checking that it has all of a model's files."""
    path = find_folder(model)
    if not path.is_dir():
        raise FileFormatError(f"no model at {model}: there is no such folder{_earlier(path)}")
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise FileFormatError(f"no model at {model}: {missing[0]} is missing; a model folder has {', '.join(FILES)}")
    return path


def save(
    model: Model | SeriesModel | StoredSeries | nn.Module,
    folder: str | os.PathLike[str],
    card: str = "",
    *,
    args: tuple[Any, ...] | None = None,
) -> None:
    """Write a model as a folder or as one file, replacing an earlier one there.

    A tagger's or language model's weights are stored in the precision that its config's ``weights_dtype`` names
    (float32 without one), including those of int8 layers; a layer's are stored in its own precision. If anything fails,
    an earlier model is left unchanged. Only if the process is killed between two renames does the earlier folder remain
    under a temporary name, which the error raised by `load` gives.

    Any other module around recurrent layers is written as a graph of operations, which `hiddenstate_runtime` runs
    without torch: whole sequences and, if the model allows it, streams. It is captured by ``torch.export`` in eval
    mode, and kept only if its numbers are torch's on the example and on other numbers of steps and rows.

    Args:
        model: a tagger or a language model; a series model whose module is linear layers and activations before and
            after one recurrent stack (`SeriesModel.understood` says whether it is); for a file, also an `LSTM`, a `GRU`
            or an `RNN`, or, with ``args``, any module whose operations files have (the guide *Run models without
            torch* lists them).
        folder: the destination: a folder, whose parents are created, or a file, if the name ends in ``.safetensors``.
            A file is also read by `hiddenstate_runtime` and the C library, which need no torch (C reads no series
            models).
        card: Markdown for a folder's ``MODEL_CARD.md``.
        args: for any other module, the positional arguments of an example call: tensors (or tuples of them).

    Raises:
        ArgumentError: a module has an operation that files do not have, keeps its own state, or draws random
            numbers; the message names the part and suggests an alternative. Or something other than a model is already
            there, a weight is too large for its precision, or the module of a series model has a different shape.
        ArgumentTypeError: the model is of another class, or a layer is to be written as a folder.
        DtypeError: the memory of a weight was freed, or a layer's weights have a type that files do not support.
        ExportError: ``torch.export`` can't capture the module, or the graph's numbers differ from the module's.
        FileWriteError: the folder or file can't be written.
    """
    is_file = model_file.is_model_file(folder)
    if args is not None:
        if isinstance(model, Tagger | LanguageModel | SeriesModel | StoredSeries | Layer):
            raise ArgumentError(f"args= is for other modules: {with_article(type(model).__name__)} is saved without it")
        if not is_file:
            raise ArgumentTypeError(f"a module is saved as a file: give a name that ends in .safetensors, not {folder}")
        write_graph(model, args, folder, model_file.FORMAT)
        return
    if not isinstance(model, Tagger | LanguageModel | SeriesModel | StoredSeries | Layer):
        refuse_keras(model)
        raise ArgumentTypeError(
            "save takes a series model, a tagger, a language model, or a hiddenstate.LSTM, GRU or RNN, got "
            f"{readable_name(type(model))}; for another module give args=, an example of its arguments, which writes "
            "what it computes, or use torch.save(module.state_dict(), path)"
        )
    if isinstance(model, Layer):
        if not is_file:
            raise ArgumentTypeError(f"a layer is saved as a file: give a name that ends in .safetensors, not {folder}")
        model_file.write_layer(model, folder)
        return
    stored = model._to_stored() if isinstance(model, SeriesModel) else model
    if is_file:
        config, vocabulary = stored.to_data()
        weights = as_stored(float_weights(stored), config["weights_dtype"])
        model_file.write_model(stored.kind, weights, config, vocabulary, folder)
    else:
        _save_folder(stored, folder, card)


def _save_folder(model: Model | StoredSeries, folder: str | os.PathLike[str], card: str) -> None:
    with writing(folder):
        target = check_target(folder)
    config, vocabulary = model.to_data()
    head = {"format": FORMAT, "version": VERSION, "kind": model.kind, "config": config}
    weights = written(float_weights(model), config["weights_dtype"])
    with folder_beside(target) as partial:
        partial.mkdir()
        write_bytes(partial / CONFIG, _json(head, indent=2))
        write_bytes(partial / VOCABULARY, _json(vocabulary))
        write_bytes(partial / WEIGHTS, weights)
        write_bytes(partial / CARD, (card or f"# A {model.kind} of hiddenstate\n").encode())
        sync(partial)
        put_folder(partial, target)
        sync(target.parent)


def float_weights(model: Model | StoredSeries) -> dict[str, Tensor]:
    """Return a model's weights by name, int8 layers' as floats, because the config says how all are stored."""
    weights: dict[str, Tensor] = dict(model.state_dict())
    check_memory_of(weights.items())
    for name in [name for name, value in weights.items() if value.dtype is torch.int8]:
        weights[name] = dequantise(weights[name], weights.pop(name + SCALE), name)
    return weights


def check_target(folder: str | os.PathLike[str]) -> Path:
    """Return the full path of a folder that `save` may write, which is absent, empty, or contains only a model."""
    target = Path(folder).resolve()
    if not target.exists():
        return target
    if not target.is_dir():
        raise ArgumentError(f"{folder} is a file; give a folder to write the model to")
    others = sorted(path.name for path in target.iterdir() if path.name not in FILES)
    if others:
        raise ArgumentError(f"{folder} holds {others[0]!r}, which is not part of a model; choose another folder")
    if any(target.iterdir()):
        _head(target, str(folder))
    return target


def load_tagger(folder: str | os.PathLike[str]) -> Tagger:
    """Read a tagger from its folder, or by the name of a shipped one, ready to use (dropout off, weights float32)."""
    return load_as(Tagger, folder)


def load_language_model(folder: str | os.PathLike[str]) -> LanguageModel:
    """Read a language model in the same way."""
    return load_as(LanguageModel, folder)


def read_kind(folder: str | os.PathLike[str]) -> str:
    """Return the kind of model that a folder declares, or "" if it cannot be read; a file must be a model file."""
    if model_file.is_model_file(folder):
        return model_file.read_head(folder).get("kind", "")
    try:
        return str(json.loads((find_folder(folder) / CONFIG).read_bytes())["kind"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def load_any(folder: str | os.PathLike[str]) -> Model:
    """Read a tagger or a language model, ready to use."""
    if read_kind(folder) == LanguageModel.kind:
        return load_language_model(folder)
    return load_tagger(folder)  # raises the right error, even for unknown kinds


@overload
def load(path: Literal["tagger-en"]) -> Tagger: ...
@overload
def load(path: Literal["shakespeare"]) -> LanguageModel: ...
@overload
def load(path: Literal["seattle-weather"]) -> SeriesModel: ...
@overload
def load(path: str | os.PathLike[str]) -> Model | SeriesModel | Layer: ...
def load(path: str | os.PathLike[str]) -> Model | SeriesModel | Layer:
    """Read a model that `save` wrote, ready to use (dropout off, a model's weights float32).

    Args:
        path: its folder or file; or the name of a model that comes with the package: ``"tagger-en"``, an English
            part-of-speech tagger, ``"shakespeare"``, a character language model, or ``"seattle-weather"``, a forecaster
            of tomorrow's highest temperature. (A folder with that name takes precedence.)

    Raises:
        FileFormatError: the folder, or one of its files, is missing, damaged, of another kind or a later version.

    >>> load("tagger-en").tag([["Giraffes", "in", "a", "field"]])[0].tags
    ('NOUN', 'ADP', 'DET', 'NOUN')
    """
    kind = read_kind(path)
    if kind == StoredSeries.kind:
        return SeriesModel._of_stored(load_as(StoredSeries, path))
    if kind == model_file.LAYER and model_file.is_model_file(path):
        return model_file.read_layer(path)
    if kind == GRAPH and model_file.is_model_file(path):
        raise FileFormatError(f"{path} is a graph of operations, without the module: hiddenstate_runtime.load runs it")
    return load_any(path)


def load_as(kind: type[Loaded], folder: str | os.PathLike[str]) -> Loaded:
    """Read a model of this class from its folder or file."""
    if not isinstance(folder, str | os.PathLike):
        raise ArgumentTypeError(f"expected the path or the name of a model, got {type(folder).__name__}")
    with reading(folder):
        stored_kind, described, described_by, weights = _described(folder)
        if stored_kind != kind.kind:
            raise FileFormatError(f"{folder} is a model of kind {stored_kind!r}, expected {kind.kind!r}")
        file = WeightsFile(weights)
        # Each layer has weights, so a config with absurdly many layers is rejected before any layer is created.
        if any(type(L) is int and len(file.shapes) < L for L in _values_named("num_layers", described)):
            raise FileFormatError(f"{weights}: there are weights for fewer layers than num_layers in {described_by}")
        # Created on the meta device first, so that absurd sizes, which do not match the weights, are rejected.
        outline = make_meta_model(lambda: kind.from_data(*described)).state_dict()
        tensors = file.read(outline, described_by)
        with torch.random.fork_rng(devices=[]):  # replaced weights should not change the random state
            model = kind.from_data(*described)
        model.float()  # whatever torch's default type is
        model.load_state_dict(tensors)
        model.eval()
        return model


def _described(folder: str | os.PathLike[str]) -> tuple[Any, tuple[Any, Any], str, Path]:
    """Return the kind, the config and vocabulary of a model, the name of what holds these, and the weights' file."""
    if not model_file.is_model_file(folder):
        path = find_complete_folder(folder)
        head = _head(path, str(folder))
        described = head.get("config"), _object(path / VOCABULARY)
        return head.get("kind"), described, f"{CONFIG} and {VOCABULARY}", path / WEIGHTS
    metadata = model_file.read_head(folder)
    kind = metadata.get("kind", "")
    if kind == model_file.LAYER:
        raise FileFormatError(
            f"{folder} is a layer, which reads numbers, not text: expected a tagger or a language model"
        )
    return kind, model_file.parse_description(metadata, folder), "its metadata", Path(folder)


def _values_named(name: str, data: Any) -> Iterator[Any]:
    """Yield the values with this name in JSON objects, nested ones included."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
            yield from [value[name]] if name in value else []
        elif isinstance(value, tuple):
            left += value


def _head(path: Path, name: str) -> dict[str, Any]:
    """Return the object in config.json, after checking its format and version."""
    if not (path / CONFIG).is_file():
        raise ArgumentError(f"{name} is not a model folder: {CONFIG} is missing; choose another folder")
    head = _object(path / CONFIG)
    if head.get("format") != FORMAT:
        raise FileFormatError(f"{name} is not a model folder: {CONFIG} does not contain 'format': '{FORMAT}'")
    version = head.get("version")
    if type(version) is not int or version < 1:
        raise FileFormatError(f"{path / CONFIG}: version must be a positive integer, got {version!r}")
    if version > VERSION:
        raise FileFormatError(
            f"{name} has format version {version}, but this hiddenstate only reads up to {VERSION}; upgrade hiddenstate"
        )
    return head


def _object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} is damaged: not JSON ({error}); get the model again") from error
    if not isinstance(data, dict):
        raise FileFormatError(f"{path} is damaged: expected an object, got {type(data).__name__}")
    return data


def _earlier(path: Path) -> str:
    """Explain how to recover an earlier model that a killed `save` left next to its place."""
    left = left_beside(path.resolve(), "previous")
    return f", but {left[-1].name} next to it is the model from before a save was killed: rename it" if left else ""


def _json(data: dict[str, Any], indent: int | None = None) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=indent) + "\n").encode()


_FLOATS = {"float16": torch.float16, "float32": torch.float32}


def as_stored(weights: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return weights as a file stores them, as ``float16``, ``float32`` or ``int8``."""
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        if dtype == "int8" and value.ndim > 1:
            tensors[name], tensors[scale_name(name)] = quantised(_finite(name, value, "float32"))
        else:
            tensors[name] = _finite(name, value, "float32" if dtype == "int8" else dtype)
    return tensors


def written(weights: Mapping[str, Tensor], dtype: str) -> bytes:
    """Return the bytes of a file that holds these weights."""
    return safetensors.torch.save(as_stored(weights, dtype))


def _finite(name: str, value: Tensor, dtype: str) -> Tensor:
    stored = value.detach().to("cpu", _FLOATS[dtype]).contiguous()
    if not torch.isfinite(stored).all():
        raise ArgumentError(
            f"weight {name!r} cannot be stored as {dtype}: it has values up to {float(value.abs().max()):.3g}; in "
            "training lower the learning rate, or set weights_dtype=float32 if they are intended"
        )
    return stored


def scale_name(name: str) -> str:
    """Return the name of a matrix's scales.

    >>> scale_name("head.weight")
    'head.weight.scale'
    """
    return name + ".scale"


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a finite float32 matrix to int8 integers times a float32 scale, as `LSTM.quantize` does.

    A row of zeros (or of numbers below 1.5e-36) has scale 1. Quantising the result of `restored` gives the same again.

    >>> whole, scale = quantised(torch.tensor([[0.5, -1.0, 0.25]]))
    >>> whole.tolist()
    [[64, -127, 32]]
    """
    whole, scale = quantise(matrix.flatten(1), "the matrix")
    # A subnormal float32 scale has too few digits to reproduce the same integers.
    lost = scale < torch.finfo(torch.float32).tiny
    whole, scale = whole.masked_fill(lost[:, None], 0), scale.masked_fill(lost, 1.0)
    return whole.reshape(matrix.shape), scale


def restored(whole: Tensor, scale: Tensor) -> Tensor:
    """Return the float32 matrix: each integer times the scale of its row."""
    return whole.float() * scale.reshape(-1, *[1] * (whole.ndim - 1))


class WeightsFile:
    """A file of weights from an untrusted source; everything is checked before use, the shapes first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            self.shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            self._whole = {name for name, part in parts.items() if part.get_dtype() == "I8"}

    def read(self, expected: Mapping[str, Tensor], described_by: str) -> dict[str, Tensor]:
        """Return the weights, in the precision of the expected ones."""
        self._check_shapes(expected, described_by)
        with self._opened() as file:
            return {name: self._weight(file, name).to(value.dtype) for name, value in expected.items()}

    def _check_shapes(self, expected: Mapping[str, Tensor], described_by: str) -> None:
        """Reject names and shapes other than those of the expected weights and their scales."""
        wanted = {name: tuple(value.shape) for name, value in expected.items()}
        scales = {
            scale_name(name): shape[:1] for name, shape in wanted.items() if name in self._whole and len(shape) > 1
        }
        wanted |= {name: shape for name, shape in scales.items() if name not in wanted}
        differing = sorted(self.shapes.keys() ^ wanted.keys())
        if differing:
            what = "missing" if differing[0] in wanted else "not expected"
            raise FileFormatError(f"{self.path} does not fit {described_by}: weight {differing[0]!r} is {what}")
        for name, shape in wanted.items():
            if self.shapes[name] != shape:
                raise FileFormatError(
                    f"{self.path} does not fit {described_by}: weight {name!r} has shape {list(self.shapes[name])}, "
                    f"expected {list(shape)}"
                )

    def _weight(self, file: Any, name: str) -> Tensor:
        stored = file.get_tensor(name)
        if name not in self._whole or stored.ndim < 2:
            return self._checked(name, stored)
        beside = scale_name(name)
        scale = self._checked(beside, file.get_tensor(beside))
        if scale.dtype != torch.float32 or not bool((scale > 0).all()):
            raise FileFormatError(
                f"{self.path} is damaged: {beside!r} must hold a float32 above 0 for each row, got "
                f"{scale.dtype} down to {float(scale.min()):.3g}; get the model again"
            )
        return self._checked(name, restored(stored, scale))

    def _checked(self, name: str, value: Tensor) -> Tensor:
        """Return the value, after checking that it is floating-point and finite."""
        if not value.is_floating_point():
            raise FileFormatError(
                f"{self.path} is damaged: weight {name!r} is of type {value.dtype}, expected a floating-point type (or "
                "int8, for a matrix with scales); get the model again"
            )
        if not torch.isfinite(value).all():
            raise FileFormatError(
                f"{self.path} is damaged: weight {name!r} has values that are not finite; get the model again"
            )
        return value

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with reading(self.path):
            check_safetensors(self.path)
            with safe_open(self.path, framework="pt") as file:
                yield file
