"""Edits of the LSTMs inside a whole model, by module path."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import get_ident

from torch import nn

from hiddenstate.base import native_module
from hiddenstate.base.messages import shorten
from hiddenstate.base.scoped import Block, joined
from hiddenstate.base.torch_internals import remove_hooks
from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import check_edit
from hiddenstate.errors import ArgumentError, ArgumentTypeError, NameUnknownError
from hiddenstate.nn.cell import RecurrentCell
from hiddenstate.nn.recurrent import Recurrent
from hiddenstate.structure.names import at_path, has_place, list_places, split_path
from hiddenstate.tracing.model_recorder import THEIRS, list_paths
from hiddenstate.tracing.traceable import (
    Traceable,
    find_recordable,
    has_keras_layers,
    is_keras_layer,
    keras_needs,
    modules_of,
)

EDITABLE = (Recurrent, RecurrentCell)


def edit(model: nn.Module, *edits: Edit) -> Block:
    """Return a context manager in which edits apply to layers and cells inside a model, named by module path.

    ``hs.edit(model, hs.zero("encoder.l0.f"))`` is ``model.encoder.edit(hs.zero("l0.f"))``. The path may be omitted, as
    in ``"l0.f"``, if the model is a layer, or contains one layer and no cells. For where and how long the edits apply,
    see `hiddenstate.LSTM.edit`. While `hiddenstate.accelerate` is active, torch's own layers can be edited too.

    Args:
        model: any module.
        edits: made by `hiddenstate.zero`, `set` and the others, with the module path before the place. With ``call=``,
            an edit applies to one of the calls of a layer that the model calls several times, such as a decoder's.

    Raises:
        NameUnknownError: there is no layer or cell at that path, or it has no such place.
        IndexRangeError: a unit does not exist.
        ArgumentError: ``call=`` is given for a layer of Keras.
        ArgumentTypeError: the model is not a module, or an edit is not an `Edit`.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"edit takes a torch.nn.Module, got {type(model).__name__}")
    every = dict(modules_of(model))
    modules = {path: recordable for path, module in every.items() if (recordable := find_recordable(module))}
    blocks, counters = list[Block](), list[_CallCounter]()
    for edit in edits:
        check_edit(edit)
        path, place = split_path(edit.place) if isinstance(edit.place, str) else ("", edit.place)
        lstm = at_path(path, modules)
        if not isinstance(lstm, EDITABLE) or not has_place(place, *lstm._traced_layers()):
            raise NameUnknownError(_unknown(path, edit.place, modules, model))
        block = lstm.edit(replace(edit, place=place, call=None))
        if edit.call is None:
            blocks.append(block)
        else:
            module = every[next(name for name, part in modules.items() if part is lstm)]
            if is_keras_layer(module):
                raise ArgumentError("call= needs torch's hooks, which Keras does not always run")
            counters.append(_CallCounter(module, edit.call, block))
    whole = joined(blocks)
    return _counting(whole, counters) if counters else whole


def _counting(whole: Block, counters: Sequence["_CallCounter"]) -> Block:
    """Return a block in which the calls of layers are counted, too."""

    def begin() -> None:
        for counter in counters:
            counter.begin()

    def end() -> None:
        for counter in counters:
            counter.end()

    return Block(whole.home, whole.entries, whole.switches, begin, end)


class _CallCounter:
    """Opens a block for one of the calls of a layer, counted in this thread."""

    def __init__(self, module: nn.Module, call: int, block: Block) -> None:
        self.module, self.call, self.block = module, call, block
        self.open: native_module.Block | None = None
        self.calls = self.thread = 0

    def begin(self) -> None:
        """Watch the layer's calls from here on."""
        self.calls, self.thread = 0, get_ident()
        self.module.register_forward_pre_hook(self.before)
        self.module.register_forward_hook(self.after, always_call=True)

    def before(self, *_: object) -> None:
        """Open the block if this is the call."""
        if get_ident() != self.thread:
            return
        if self.calls == self.call:
            self.open = self.block.again()
            self.open.__enter__()
        self.calls += 1

    def after(self, *_: object) -> None:
        """Close the block after the call, even if it failed."""
        if get_ident() == self.thread:
            self.close()

    def end(self) -> None:
        """Watch no longer."""
        remove_hooks([self.module], self.before, self.after)
        self.close()

    def close(self) -> None:
        """Close the block if it is open; it is forgotten only then, so that Ctrl-C can't leave it open."""
        if self.open is not None:
            self.open.close()
            self.open = None


def _unknown(path: str, place: str, modules: Mapping[str, Traceable], model: nn.Module) -> str:
    kind = type(model).__name__
    editable = {path: module for path, module in modules.items() if isinstance(module, EDITABLE)}
    theirs = [path for path, module in model.named_modules() if isinstance(module, THEIRS) and path not in modules]
    hint = (
        f"torch's own ({list_paths(theirs)}) can be edited inside hs.accelerate() or converted with hs.convert(model)"
    )
    if not editable and not theirs and has_keras_layers(model):
        return keras_needs(model)
    if not editable:
        return f"this {kind} contains no hiddenstate layer or cell that can be edited" + (f": {hint}" if theirs else "")
    listed = list_places({path: module._traced_layers() for path, module in editable.items()}, path)
    return f"no place {shorten(place)} in this {kind}: its places are {listed}" + (f". {hint}" if theirs else "")
