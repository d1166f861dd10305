"""Converts all of torch's recurrent layers and cells in a model to ours, and back; or copies one layer."""

import copy
import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn

from hiddenstate.base.messages import listed, readable_name, shorten
from hiddenstate.cells.kinds import CELLS
from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.nn.cell import GRUCell, LSTMCell, RNNCell
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.quantised import WeightType, dequantise_module, keep, quantise_module, rounded
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.nn.rnn import LAYERS, RNN
from hiddenstate.nn.torch_modules import Recast, Route, apply_all, class_name, copied_as, plan
from hiddenstate.structure.tables import table
from hiddenstate.tracing.traceable import refuse_keras
from hiddenstate.tracing.watch import hidden_modules


@dataclass(frozen=True)
class Converted:
    """One module that was converted.

    Attributes:
        paths: its paths in the model; the model itself is ``""``.
        was: its previous class. became: its class now.
        sizes: its options, as torch prints them.
        parameters: its number of parameters, counting those from which parametrized weights are computed.
        tied: names of parameters elsewhere in the model that are shared with it.
    """

    paths: tuple[str, ...]
    was: str
    became: str
    sizes: str
    parameters: int
    tied: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """One module that was left unchanged, or keeps float weights: its paths, its class and the reason."""

    paths: tuple[str, ...]
    was: str
    reason: str


@dataclass(frozen=True)
class ConversionReport:
    """The report of `hiddenstate.convert` or `hiddenstate.convert_back`; ``print`` shows it as a table.

    Attributes:
        converted: the modules that were converted.
        left: recurrent layers and cells that were left unchanged.
        kept_float: with ``weights="int8"``, those whose class is now ours, but whose weights stay floats.
    """

    converted: tuple[Converted, ...]
    left: tuple[Left, ...]
    kept_float: tuple[Left, ...] = ()

    def __str__(self) -> str:
        total = len(self.converted) + len(self.left)
        if not total and not self.kept_float:
            return "Nothing to convert: the model holds no LSTM, GRU or RNN that is not already of the requested kind."
        lines = [f"{len(self.converted)} of {total} modules converted"]
        if self.converted:
            lines += ["", table(_HEAD, [_row(module) for module in self.converted], "llllrl")]
        for title, modules in (("left as they are", self.left), ("kept in floats", self.kept_float)):
            if modules:
                rows = [(named(module.paths[0]), module.was, module.reason) for module in modules]
                lines += ["", title, table(("path", "what", "why"), rows, "lll")]
        return "\n".join(lines)


_HEAD = ("path", "was", "is now", "sizes", "parameters", "shared with")


def _row(layer: Converted) -> tuple[str, ...]:
    shared = ", ".join([*map(named, layer.paths[1:]), *layer.tied])
    return named(layer.paths[0]), layer.was, layer.became, layer.sizes, f"{layer.parameters:,}", shared


def named(path: str) -> str:
    """Format a module's path for display."""
    return path or "(the model)"


TO_OURS = tuple(
    Route(ours._torch.kind, ours, ours._torch.options) for ours in (LSTM, LSTMCell, GRU, GRUCell, RNN, RNNCell)
)
TO_TORCH = tuple(Route(route.new, route.old, route.options) for route in TO_OURS)
INT8 = ", int8"  # added to the class name in a report
ROUNDED = tuple(layer for name, layer in LAYERS.items() if CELLS[name].is_additive)  # those that int8 kernels compute
_FLOAT = tuple(route.new for route in TO_OURS if route.new not in ROUNDED)
_WHY_FLOAT = f"only {listed(f'{layer.__name__}s' for layer in ROUNDED)} have int8 kernels"
# Reports of converted models; they are dropped with their models.
_reports: "weakref.WeakKeyDictionary[nn.Module, ConversionReport]" = weakref.WeakKeyDictionary()


class Roundings:
    """The rounded weights of each layer to be quantised. Nothing changes until `apply` is called."""

    def __init__(self) -> None:
        self.made: dict[nn.Module, dict[str, Tensor]] = {}
        self.of_ours: list[Converted] = []  # modules that already had our class
        self.kept_float: list[Left] = []

    def plan(
        self, model: nn.Module, recasts: list[tuple[tuple[str, ...], Recast]], left: list[Left]
    ) -> list[tuple[tuple[str, ...], Recast]]:
        """Return the recasts of our layers to apply; others go to ``left`` and ``kept_float``."""
        going = []
        for paths, recast in recasts:
            if recast.route.new not in ROUNDED:
                self.kept_float.append(Left(paths, readable_name(recast.route.new), _WHY_FLOAT))
                going.append((paths, recast))
            elif self._round(paths, recast.module, left):
                going.append((paths, recast))
        for paths, module in modules_by_path(model):
            if isinstance(module, _FLOAT) and getattr(module, "weight_format", "float") == "float":
                self.kept_float.append(Left(paths, class_name(module), _WHY_FLOAT))
            if isinstance(module, ROUNDED) and module.weight_format == "float" and self._round(paths, module, left):
                kind, count = class_name(module), sum(parameter.numel() for parameter in module.parameters())
                self.of_ours.append(Converted(paths, kind, kind + INT8, module.extra_repr(), count, ()))
        return going

    def _round(self, paths: tuple[str, ...], module: nn.Module, left: list[Left]) -> bool:
        try:
            self.made[module] = rounded(module)
        except ArgumentError as error:
            left.append(Left(paths, class_name(module), str(error)))
            return False
        return True

    def apply(self) -> None:
        """Change the modules, which all have our class now."""
        for module, tensors in self.made.items():
            assert isinstance(module, ROUNDED)
            keep(module, tensors)


def int8_layers(model: nn.Module) -> list[Recurrent[Any, Any]]:
    """Return the layers of a model that have int8 weights."""
    return [part for part in model.modules() if isinstance(part, Recurrent) and part.weight_format == "int8"]


@overload
def from_torch(module: nn.LSTM) -> LSTM: ...
@overload
def from_torch(module: nn.LSTMCell) -> LSTMCell: ...
@overload
def from_torch(module: nn.GRU) -> GRU: ...
@overload
def from_torch(module: nn.GRUCell) -> GRUCell: ...
@overload
def from_torch(module: nn.RNN) -> RNN: ...
@overload
def from_torch(module: nn.RNNCell) -> RNNCell: ...


def from_torch(module: nn.Module) -> nn.Module:
    """Make our layer from torch's: a copy, with all that is attached to it, such as hooks and parametrizations.

    Raises:
        ArgumentTypeError: the module is not a `torch.nn.LSTM`, `GRU`, `RNN` or cell of these.
        ArgumentError: the module has something that our class would lose, such as its own ``forward``, or can't be
            copied, such as one that is pruned.
    """
    for route in TO_OURS:
        if isinstance(module, route.old):
            ours: nn.Module = copied_as(module, route)
            return ours
    refuse_keras(module)
    known = ", ".join(readable_name(route.old) for route in TO_OURS)
    raise ArgumentTypeError(f"from_torch takes one of {known}, got {readable_name(type(module))}")


def conversion_report(model: nn.Module) -> ConversionReport:
    """Return the report of the last conversion of a model in this process.

    Args:
        model: the result of `convert` or `convert_back`.

    Raises:
        ArgumentTypeError: ``model`` is not a `torch.nn.Module`.
        ArgumentError: the model was not converted in this process. (Copies and unpickled models have no report.)
    """
    _check_module("conversion_report", model)
    if model not in _reports:
        raise ArgumentError(
            f"there is no report of this {type(model).__name__}: give the model that hs.convert or hs.convert_back "
            "returned"
        )
    return _reports[model]


def convert(
    model: nn.Module,
    *,
    inplace: bool = False,
    strict: bool = False,
    verbose: bool = False,
    weights: WeightType = "float",
) -> nn.Module:
    """Convert every `torch.nn.LSTM`, `GRU`, `RNN` and their cells in a model to our class of that name.

    Results, parameter names and ``state_dict`` do not change. The parameters are not copied, so an existing optimizer
    keeps working; hooks, mode, parametrizations, pruning and your own attributes are kept. A module that can't be
    converted without losing something is left unchanged, and the report gives the reason.

    Args:
        model: any module, which may itself be an LSTM, GRU or RNN.
        inplace: convert the model itself; by default, a copy (`copy.deepcopy`) that shares its parameters, buffers and
            other tensors.
        strict: raise an error if one of them would be left unchanged, or would keep floats with ``weights="int8"``.
        verbose: print the report.
        weights: ``"int8"`` also rounds the matrices of every LSTM and GRU, converted or already ours, to int8 for
            inference, as `hiddenstate.LSTM.quantize` does. Their parameters become buffers. Plain RNNs and cells,
            which int8 kernels do not compute, keep floats, and the report lists them.

    Returns:
        The converted model; see its `conversion_report` for details.

    Raises:
        ArgumentTypeError: ``model`` is not a `torch.nn.Module`.
        ArgumentError: ``strict=True``, and one of them would be left unchanged or would keep floats; the model can't be
            copied; or a weight to be rounded is not finite. Nothing was changed.

    >>> convert(nn.Sequential(nn.LSTM(4, 3)), verbose=True)
    1 of 1 modules converted
    <BLANKLINE>
    path  was            is now   sizes  parameters  shared with
    0     torch.nn.LSTM  hs.LSTM  4, 3          108
    Sequential(
      (0): LSTM(4, 3)
    )
    """
    if weights not in ("float", "int8"):
        raise ArgumentError(f"weights must be 'float' or 'int8', got {shorten(weights)}")
    _check_module("convert", model)
    refuse_keras(model)
    return _convert(model, TO_OURS, inplace, strict, verbose, weights)


def convert_back(model: nn.Module, *, inplace: bool = False, strict: bool = False, verbose: bool = False) -> nn.Module:
    """Convert every `hiddenstate.LSTM`, `GRU`, `RNN` and cell in a model to torch's: the inverse of `convert`.

    Code in the model that uses features that torch's layers lack (``lengths=``, ``reset=``, ``trace``) will no longer
    run.

    Args:
        model: any module, which may itself be an LSTM.
        inplace: convert the model itself; by default, a copy that shares its parameters, buffers and other tensors.
            Converting in place ends open streams.
        strict: raise an error if one of them would be left unchanged.
        verbose: print the report.

    Returns:
        The converted model; see its `conversion_report` for details.

    Raises:
        ArgumentTypeError, ArgumentError: as for `convert`.
    """
    _check_module("convert", model)
    model = model if inplace else sharing_copy(model)
    changed = int8_layers(model)
    for module in changed:
        dequantise_module(module)
    try:
        return _convert(model, TO_TORCH, True, strict, verbose)
    except BaseException:
        for module in changed:
            quantise_module(module)
        raise


def _check_module(function: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"{function} takes a torch.nn.Module, got {type(model).__name__}")


def _convert(
    model: nn.Module, routes: Sequence[Route], inplace: bool, strict: bool, verbose: bool, weights: WeightType = "float"
) -> nn.Module:
    model = model if inplace else _copy(model, routes)
    recasts, left = _sort(model, routes)
    roundings = Roundings()
    if weights == "int8":
        recasts = roundings.plan(model, recasts, left)
    if strict and (refused := [*left, *roundings.kept_float]):
        raise ArgumentError(f"{_refusals(refused)}. Nothing was changed; strict=False converts the others")
    converted = tuple(_converted(model, paths, recast, roundings) for paths, recast in recasts)
    converted += tuple(roundings.of_ours)
    apply_all([recast for _, recast in recasts])
    roundings.apply()
    report = ConversionReport(converted, tuple(left), tuple(roundings.kept_float))
    _reports[model] = report
    if verbose:
        print(report)
    return model


def _copy(model: nn.Module, routes: Sequence[Route]) -> nn.Module:
    try:
        return sharing_copy(model)
    except ArgumentError as error:  # which recommends a conversion in place, unless that could not convert anything
        recasts, left = _sort(model, routes)
        if recasts or not left:
            raise
        raise ArgumentError(_refusals(left)) from error


def _refusals(left: Sequence[Left]) -> str:
    reasons = "; ".join(f"{named(module.paths[0])} ({module.was}): {module.reason}" for module in left)
    return f"these can't be converted: {reasons}"


def _sort(model: nn.Module, routes: Sequence[Route]) -> tuple[list[tuple[tuple[str, ...], Recast]], list[Left]]:
    """Plan how to change each LSTM, and list those that are left unchanged, with reasons. Nothing is changed yet."""
    recasts: list[tuple[tuple[str, ...], Recast]] = []
    left: list[Left] = []
    for paths, module in modules_by_path(model):
        route = next((route for route in routes if isinstance(module, route.old)), None)
        try:
            if route is not None:
                recasts.append((paths, plan(module, route)))
            elif routes is TO_OURS and not _is_inside(paths[0], left):
                _refuse_compiled(paths[0], module)
        except ArgumentError as error:
            left.append(Left(paths, class_name(module), str(error)))
    classes = tuple(route.old for route in routes)
    unseen = [(path, module) for path, module in hidden_modules(model) if isinstance(module, classes)]
    why = "kept where torch does not see it: use a ModuleList or ModuleDict"
    return recasts, left + [Left((path,), class_name(module), why) for path, module in unseen]


def _refuse_compiled(path: str, module: nn.Module) -> None:
    """Reject layers that torch has compiled or quantised; accept all other modules."""
    if isinstance(module, torch.jit.ScriptModule):
        if kinds := scripted_layers(module):
            raise ArgumentError(
                f"compiled to TorchScript: convert the model before that{_loading(path, module, kinds)}"
            )
    elif quantised_kind(module):
        raise ArgumentError("quantised by torch: convert the model before that")


def _loading(path: str, module: nn.Module, kinds: Sequence[str]) -> str:
    """Describe how to load the weights of a TorchScript module, unless it has none or they do not determine it."""
    options = {"LSTM": "", "GRU": ", kind=hs.GRU"}  # the weights of an RNN do not show its nonlinearity
    kind = kinds[0].removesuffix("Cell")
    if len(kinds) > 1 or kind not in options or next(module.parameters(), None) is None:
        return ""
    return f", or load its weights with hs.from_state_dict(model.state_dict(), prefix={path!r}{options[kind]})"


def _is_inside(path: str, left: Sequence[Left]) -> bool:
    """Whether a module is part of one that is left unchanged as a whole."""
    return any(not above or path.startswith(f"{above}.") for part in left for above in part.paths)


def _converted(model: nn.Module, paths: tuple[str, ...], recast: Recast, roundings: Roundings) -> Converted:
    """Describe a conversion that is about to be made."""
    own = {id(parameter) for parameter in recast.module.parameters()}
    inside = tuple(f"{path}." for path in paths if path) or ("",)
    others = [name for name, parameter in model.named_parameters(remove_duplicate=False) if id(parameter) in own]
    return Converted(
        paths=paths,
        was=class_name(recast.module),
        became=readable_name(recast.route.new) + (INT8 if recast.module in roundings.made else ""),
        sizes=recast.module.extra_repr(),
        parameters=sum(parameter.numel() for parameter in recast.module.parameters()),
        tied=tuple(name for name in others if not name.startswith(inside)),
    )


# A call of a recurrent operator in a graph, such as aten::lstm(, aten::rnn_tanh_cell( or, of a quantised model,
# quantized::quantized_gru_cell_dynamic(.
_CALL = re.compile(r"::(?:quantized_)?(lstm|gru|rnn)(?:_tanh|_relu)?(_cell)?(?:_dynamic)?\(")
_TORCHS = "torch.nn.modules.rnn."
_NAMES = ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")
_QUANTISED = "torch.ao.nn.quantiz"  # quantized, quantizable
# They compute in floats, by the same functions as torch's other layers.
_IMITATIONS = "torch.ao.nn.quantized.reference"


def modules_by_path(model: nn.Module) -> list[tuple[tuple[str, ...], nn.Module]]:
    """Return every module once, with all its paths."""
    paths: dict[nn.Module, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    return [(tuple(own), module) for module, own in paths.items()]


def sharing_copy(model: nn.Module) -> nn.Module:
    """Copy a model's modules, but share its parameters, buffers and other tensors."""
    kind, cure = type(model).__name__, "convert it in place, with inplace=True"
    memo = {id(tensor): tensor for tensor in _tensors_in(model)}
    try:
        copied = copy.deepcopy(model, memo)
    except Exception as error:  # the model's contents may raise anything
        raise ArgumentError(f"this {kind} can't be copied ({type(error).__name__}: {error}): {cure}") from error
    copies = dict(_named_tensors(copied))
    for name, tensor in _named_tensors(model):
        if copies.get(name) is not tensor:
            raise ArgumentError(f"a copy of this {kind} would not share {name!r}: {cure}")
    for module in copied.modules():
        vars(module).pop("_compiled_call_impl", None)  # it would run the original; torch's own copies also drop it
    return copied


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _tensors_in(model: nn.Module) -> Iterator[Tensor]:
    """Yield every tensor of the modules, including those in lists and dicts."""
    ahead: list[object] = [model]
    seen: set[int] = set()
    while ahead:
        part = ahead.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, nn.Module):
            ahead.append(vars(part))
        elif isinstance(part, dict):
            ahead.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            ahead.extend(part)


def scripted_layers(module: torch.jit.ScriptModule) -> tuple[str, ...]:
    """Return the kinds of recurrent layers and cells that a TorchScript module computes, without its submodules.

    >>> scripted_layers(torch.jit.script(nn.GRU(4, 3)))
    ('GRU',)
    """
    try:
        compiled = module._c
    except (AttributeError, RuntimeError):  # not initialised yet
        return ()
    graphs = "".join(str(compiled._get_method(name).graph) for name in compiled._method_names())
    kinds = {kind.upper() + ("Cell" if cell else "") for kind, cell in _CALL.findall(graphs)}
    if _TORCHS in compiled._type().qualified_name():  # traced cells call no operator of their own
        kinds |= {module.original_name} & set(_NAMES)
    return tuple(sorted(kinds))


def quantised_kind(module: nn.Module) -> str | None:
    """Return the name of the class if a module is one of torch's quantised layers or cells; otherwise None.

    >>> quantised_kind(torch.ao.nn.quantizable.LSTM(4, 3))
    'LSTM'
    """
    for kind in type(module).__mro__:
        if kind.__name__ in _NAMES and kind.__module__.startswith(_QUANTISED):
            return None if kind.__module__.startswith(_IMITATIONS) else kind.__name__
    return None
