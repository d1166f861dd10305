"""Finds the embedding, LSTM (or GRU, or RNN) and linear layer of a user's module by what they read in a call."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hiddenstate.base.memory import check_module_memory
from hiddenstate.errors import ArgumentError, ArgumentTypeError, ShapeError
from hiddenstate.nn.gru import GRU
from hiddenstate.nn.lstm import LSTM
from hiddenstate.nn.rnn import RNN, Layer

_KINDS = ((nn.Embedding,), (nn.LSTM, nn.GRU, nn.RNN, LSTM, GRU, RNN), (nn.Linear,))
_NAMES = ("embedding", "LSTM", "linear layer")
_EXAMPLE = (2, 5)  # rows and steps, in either order
_OTHERWISE = (
    "Explain and show such a model as it is: hs.convert(module), then hs.explain.subject(module, ids, tokens=..., "
    "labels=...) and hs.studio(module, x=ids)"
)


class Parts(NamedTuple):
    """An embedding ``[V, E]``, the LSTM that reads its vectors, and the linear layer that reads the LSTM's outputs."""

    embedding: nn.Embedding
    lstm: nn.LSTM | nn.GRU | nn.RNN | Layer
    head: nn.Linear


class _Call(NamedTuple):
    """One call of a layer: its arguments and its output, each as the set of its rows."""

    layer: nn.Module
    read: frozenset[bytes]
    given: frozenset[bytes]
    state: Any


def find_parts(model: object, example: Any = None) -> Parts:
    """Find the three parts of a model.

    A module is called once, without dropout; its parts are the LSTM that reads an embedding's unchanged vectors, and
    the linear layer that reads that LSTM's unchanged outputs (all of them, or some, such as the last step's).

    Args:
        model: a module with one of each, or a tuple of the three layers.
        example: an argument for the module's call, or a tuple of several; random ids of shape [2, 5] if None.

    Raises:
        ArgumentTypeError: ``model`` is neither.
        DtypeError: the memory of a weight was freed.
        ArgumentError: the module can't be called with the example, it ran no such chain of layers, or more than one, or
            the LSTM's initial state is not zero.
        ShapeError: the sizes of the layers do not match, or the LSTM has projections.
    """
    if isinstance(model, tuple):
        parts = _check_layers(model)
        check_module_memory(nn.ModuleList([*parts]))
        return _checked(parts)
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            f"expected a module, or its layers as a tuple (embedding, lstm, linear); got {type(model).__name__}"
        )
    _check_present(model)
    check_module_memory(model)
    calls = _called(model, _random_ids(model) if example is None else example)
    return _checked(_only(_chains(calls), type(model).__name__))


def _check_layers(layers: tuple[object, ...]) -> Parts:
    if len(layers) != len(_KINDS) or not all(map(isinstance, layers, _KINDS)):
        got = ", ".join(type(layer).__name__ for layer in layers)
        raise ArgumentTypeError(
            f"expected the layers (nn.Embedding, nn.LSTM or hs.LSTM (or GRU, RNN), nn.Linear), got ({got})"
        )
    return Parts(*layers)  # type: ignore[arg-type]


def _check_present(module: nn.Module) -> None:
    for kinds, name in zip(_KINDS, _NAMES, strict=True):
        if not any(isinstance(part, kinds) for part in module.modules()):
            raise ArgumentError(
                f"this {type(module).__name__} contains no {name}; expected a module with an nn.Embedding, an LSTM "
                f"that reads its vectors and an nn.Linear that reads the LSTM's outputs. {_OTHERWISE}"
            )


def _random_ids(module: nn.Module) -> Tensor:
    fewest = min(part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding))
    device = next(module.parameters()).device
    return torch.randint(fewest, _EXAMPLE, generator=torch.Generator().manual_seed(0)).to(device)


def _called(module: nn.Module, example: Any) -> list[_Call]:
    """Call a module and return the calls of its layers."""
    calls: list[_Call] = []
    with _watching(module, calls.append), torch.no_grad():
        try:
            module(*(example if isinstance(example, tuple) else (example,)))
        except Exception as error:
            what = "ids of shape [2, 5]" if isinstance(example, Tensor) else "the example"
            raise ArgumentError(
                f"this {type(module).__name__} can't be called with {what} ({type(error).__name__}: {error}); give "
                "its argument as example=, or the layers themselves: (embedding, lstm, linear)"
            ) from error
    return calls


@contextmanager
def _watching(module: nn.Module, tell: Callable[[_Call], None]) -> Iterator[None]:
    """Report the calls of layers inside a block, in which the module is in eval mode."""
    training = {part: part.training for part in module.modules()}

    def watch(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], given: Any) -> None:
        inputs = (*args, *kwargs.values())
        out, state = given[0] if isinstance(given, tuple) else given, inputs[1:2]
        hx = state[0] if state else None
        tell(_Call(layer, _rows(inputs[0]), _rows(out), (hx,) if isinstance(hx, Tensor) else hx))

    with ExitStack() as cleanup:
        for part in module.modules():
            if isinstance(part, tuple(kind for kinds in _KINDS for kind in kinds)):
                cleanup.callback(part.register_forward_hook(watch, with_kwargs=True).remove)
        cleanup.callback(lambda: [part.train(mode) for part, mode in training.items() if part.training != mode])
        module.eval()
        yield


def _rows(value: Tensor | PackedSequence) -> frozenset[bytes]:
    """Return the distinct vectors of a tensor ``[..., F]`` or a packed sequence, without zero vectors (padding)."""
    tensor = value.data if isinstance(value, PackedSequence) else value
    flat = tensor.detach().cpu().double().reshape(-1, tensor.shape[-1] if tensor.ndim else 1)
    return frozenset(row.tobytes() for row in flat[flat.any(dim=1)].numpy())


def _chains(calls: list[_Call]) -> list[tuple[_Call, _Call, _Call]]:
    """Return every chain of calls in which each layer reads only the previous one's output."""
    of_kind = [[call for call in calls if isinstance(call.layer, kinds)] for kinds in _KINDS]
    return [
        (vectors, lstm, head)
        for lstm in of_kind[1]
        for vectors in of_kind[0]
        if lstm.read <= vectors.given
        for head in of_kind[2]
        if head.read <= lstm.given
    ]


def _only(chains: list[tuple[_Call, _Call, _Call]], kind: str) -> Parts:
    found = {tuple(call.layer for call in chain): chain for chain in chains}
    if not found:
        raise ArgumentError(
            f"no LSTM, GRU or RNN in this {kind} reads an embedding's vectors unchanged and passes its outputs "
            "unchanged to a linear layer. A model folder can't store anything between or beside these layers, such as "
            f"character features, a second LSTM module, normalisation or scaling. {_OTHERWISE}"
        )
    if len(found) > 1:
        raise ArgumentError(
            f"this {kind} runs {len(found)} chains of an embedding, an LSTM and a linear layer; give the layers of "
            "one as a tuple: (embedding, lstm, linear)"
        )
    ((layers, (_, lstm, _)),) = found.items()
    if lstm.state is not None and any(bool(part.any()) for part in lstm.state):
        raise ArgumentError(
            f"the LSTM of this {kind} starts from a nonzero state, which a model folder can't store. {_OTHERWISE}"
        )
    return _check_layers(layers)


def _checked(parts: Parts) -> Parts:
    embedding, lstm, head = parts
    if lstm.proj_size:
        raise ShapeError(
            f"the LSTM has projections (proj_size={lstm.proj_size}), which a model folder can't store. {_OTHERWISE}"
        )
    gives = (1 + lstm.bidirectional) * lstm.hidden_size
    if (embedding.embedding_dim, gives) != (lstm.input_size, head.in_features):
        raise ShapeError(
            f"the layers do not fit together: the embedding has size {embedding.embedding_dim} but the LSTM reads "
            f"{lstm.input_size}, and the LSTM outputs {gives} features but the linear layer reads {head.in_features}"
        )
    return parts
