"""The weights of a layer, packed once for its streams and its calls with constant weights; hashes of weights."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from hiddenstate.base.forks import ForkSafeLock
from hiddenstate.cells.cell import Weights
from hiddenstate.engine import kernels
from hiddenstate.engine.kernels import Kernel
from hiddenstate.engine.paths.packed import PackedLSTM, why_not_pack
from hiddenstate.engine.weights import Int8Weights, int8_kernel
from hiddenstate.errors import ArgumentTypeError
from hiddenstate.nn.quantised import WeightType
from hiddenstate.structure.sizes import Sizes

Seen = list[tuple[str, Tensor, int | None, int]]  # for each stored tensor: name, tensor, version and address


class Packable(Protocol):
    """An LSTM whose weights can be packed."""

    weight_format: WeightType
    _buffers: dict[str, Tensor | None]
    _packed_int8: Any  # int8 weights, packed for all calls; a `Packed` or None

    @property
    def sizes(self) -> Sizes:
        """The sizes of its weights."""

    def _stored(self) -> dict[str, Tensor | None]: ...
    def _stored_names(self) -> list[str]: ...
    def _weights(self) -> Sequence[Weights]: ...


class _PackedState(NamedTuple):
    """The stored weights when they were last packed, and their packed form."""

    request: object  # the request to pack that this answers
    seen: Seen
    stepper: PackedLSTM | None


class Packed:
    """A layer's packed weights, repacked after a replacement or write that torch's version or the address shows."""

    def __init__(self, lstm: Packable) -> None:
        self.stored = lstm._stored()  # the module's own dict, in which weights are replaced
        self._names = lstm._stored_names()
        self.sizes = lstm.sizes
        self._weights = lstm._weights
        # Each is replaced as a whole, because other threads may read or pack at the same time.
        self._request = object()
        self._state = _PackedState(None, [], None)

    def stepper(self) -> PackedLSTM | None:
        """Return the current packed weights, or None if the engine cannot run this layer."""
        return self.stepper_or_reason()[0]

    def stepper_or_reason(self) -> tuple[PackedLSTM | None, str | None]:
        """Return the current packed weights, or None and the reason why the engine can't run this layer on them."""
        stored, (request, seen, stepper) = self.stored, self._state
        if request is not self._request:
            return self._pack()
        for name, value, version, address in seen:
            is_written = version is not None and value._version != version
            if is_written or stored.get(name) is not value or value.data_ptr() != address:
                return self._pack()
        return stepper, None

    def named(self) -> dict[str, Tensor]:
        """The stored weights that were packed, by name."""
        return {name: value for name, value, *_ in self._state.seen}

    def check_again(self) -> None:
        """Pack again at the next use, and keep the current packed weights only if they have the same bytes."""
        self._request = object()

    def forget(self) -> None:
        """Discard the packed weights, so that the next step of every stream packs them again."""
        with _publishing.lock:
            self._request, before = object(), self._state.stepper
            self._state = _PackedState(None, [], None)
        if before is not None:
            before.outdated["outdated"] = True

    def _pack(self) -> tuple[PackedLSTM | None, str | None]:
        request, stored = self._request, [self.stored.get(name) for name in self._names]
        known = [value for value in stored if value is not None]
        why_not = why_not_pack(self.sizes, stored)
        if why_not is not None:
            return None, why_not
        # Versions are read before packing, so that a write in the meantime causes a repack at the next step.
        seen: Seen = [
            (name, value, _version(value), value.data_ptr()) for name, value in zip(self._names, known, strict=True)
        ]
        with torch.no_grad():
            stepper = PackedLSTM(self.sizes, self._weights(), _kernel(self.sizes, known), known)
        _watch_optimisers()
        return self._publish(request, seen, stepper), None

    def _publish(self, request: object, seen: Seen, stepper: PackedLSTM) -> PackedLSTM:
        """Make newly packed weights the current ones, unless those have the same bytes; return the current ones."""
        with _publishing.lock:
            before = self._state.stepper
            if before is not None and _are_same(self._state.seen, seen) and before.equals(stepper):
                stepper = before
            self._state = _PackedState(request, seen, stepper)
        if before is not None and before is not stepper:
            before.outdated["outdated"] = True  # its streams change to the current ones
        return stepper


def _are_same(seen: Seen, other: Seen) -> bool:
    """Whether these are the same tensors, with the same versions and addresses."""
    return len(seen) == len(other) and all(a[1] is b[1] and a[2:] == b[2:] for a, b in zip(seen, other, strict=True))


def _kernel(sizes: Sizes, stored: Sequence[Tensor]) -> Kernel:
    """Return the kernel for stored weights that can be packed."""
    (dtype,) = {value.dtype for value in stored} - {torch.int8}
    is_int8 = any(value.dtype is torch.int8 for value in stored)
    return int8_kernel(sizes, dtype) if is_int8 else kernels.kernel(kernels.computed_in(dtype), sizes.cell)


def _version(value: Tensor) -> int | None:
    return None if value.is_inference() else value._version


def shared_weights(lstm: Packable) -> Packed:
    """Return the packed weights that all streams, blocks and calls of a layer share; the last user frees them."""
    key = id(lstm._stored()), id(lstm.sizes)  # both are kept alive by what is found under the key
    with _publishing.lock:
        packed = _packed.get(key)
        if packed is None:
            packed = _packed[key] = Packed(lstm)
    return packed


def packed_int8(lstm: Packable) -> Packed:
    """Return the packed int8 weights, which the layer keeps for its calls."""
    packed = lstm._packed_int8
    if packed is None or packed.stored is not lstm._buffers or packed.sizes is not lstm.sizes:  # or a size was assigned
        packed = lstm._packed_int8 = shared_weights(lstm)
    return packed


def weights_for_call(lstm: Packable) -> Sequence[Weights]:
    """Return the weights for a call; int8 weights carry their packed form."""
    weights = lstm._weights()
    if isinstance(weights, Int8Weights):
        weights.stepper = packed_int8(lstm).stepper
    return weights


def repack(module: nn.Module) -> None:
    """Repack the weights of every layer in a module after a write that torch's version counters miss.

    Streams, calls inside `constant_weights` and all calls of int8 layers use packed copies of the weights, which are
    updated when torch's version counter or a weight's address changes. Call this after a write that changes neither,
    such as one through ``.data``, NumPy, DLPack, ``torch.distributed.broadcast`` or shared memory. The documentation
    lists them in the section "Undetected writes to weights". The call takes effect for everything that uses these
    weights, in all threads, at the next call or step; the states of streams do not change.

    Args:
        module: a layer, or a module with layers inside.

    Raises:
        ArgumentTypeError: it is not a module.

    >>> import hiddenstate as hs, torch
    >>> lstm = hs.LSTM(4, 3)
    >>> stream = lstm.stream()
    >>> out = stream.step(torch.zeros(4))
    >>> lstm.weight_ih_l0.data.zero_()[0, 0]  # torch's version counter misses this
    tensor(0.)
    >>> hs.repack(lstm)
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"repack takes a torch.nn.Module, got {type(module).__name__}")
    written = {id(value) for value in (*module.parameters(), *module.buffers())}
    for packed in list(_packed.values()):
        if not written.isdisjoint(map(id, packed.named().values())):
            packed.forget()


# All packed weights, by the ids of the dict that stores them and of the sizes.
_packed: WeakValueDictionary[tuple[int, int], Packed] = WeakValueDictionary()
_publishing = ForkSafeLock()


@cache
def _watch_optimisers() -> None:
    register_optimizer_step_post_hook(_count_fused_step)


def _count_fused_step(optimiser: Optimizer, *_arguments: Any) -> None:
    """Bump the version of each packed parameter that a fused optimiser wrote, because torch does not."""
    written = {id(value) for group in optimiser.param_groups if group.get("fused") for value in group["params"]}
    for reference in _packed.valuerefs() if written else ():
        packed = reference()
        named = packed.named().values() if packed is not None else ()
        stepped = [value for value in named if id(value) in written and not value.is_inference()]
        torch.autograd.graph.increment_version(stepped)


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Return a hash of weights, with their names, types and shapes."""
    hasher = new_hash()
    hash_weights(hasher, weights)
    return str(hasher.hexdigest())


def new_hash() -> Any:
    """Return an empty hash, of the kind used for fingerprints."""
    return hashlib.blake2b(digest_size=16)


def hash_weights(hasher: Any, weights: Mapping[str, Tensor]) -> None:
    """Add weights to a hash, with their names, types and shapes."""
    for name, value in sorted(weights.items()):
        array = value.detach().cpu().contiguous()
        hasher.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        hasher.update(array.flatten().view(torch.uint8).numpy())
