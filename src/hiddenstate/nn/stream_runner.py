"""Runs the steps of a stream, on packed weights or on the general path."""

from typing import Any

from torch import Tensor

from hiddenstate.edits.resolve import Span, resolve_edits
from hiddenstate.engine import dispatch
from hiddenstate.engine.call import Call
from hiddenstate.engine.dispatch import chosen_backends, uses_reference
from hiddenstate.engine.inputs import check_weights
from hiddenstate.engine.interception import transformed
from hiddenstate.engine.packed import FastStep
from hiddenstate.errors import ArgumentError
from hiddenstate.nn.packed_weights import pack_for_owner, weights_for_call
from hiddenstate.nn.recurrent_parameters import RecurrentParameters
from hiddenstate.nn.runner import States
from hiddenstate.nn.scoped_edits import edits_in_force, scoped_edits

# For more steps it is cheaper to compute the input's products in one matrix product.
FEW_STEPS = 4


class StreamRunner:
    """Runs the next steps of a stream: on packed weights if possible, otherwise on the general path.

    The state may be updated in place and returned.
    """

    def __init__(self, lstm: RecurrentParameters) -> None:
        self._lstm = lstm
        self._packed = pack_for_owner(lstm)

    def run(self, x: Tensor, state: States, start: int) -> tuple[Tensor, States]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``."""
        if len(x) <= FEW_STEPS and not self._is_blocked():
            stepper = self._packed.stepper()
            if stepper is not None:
                return stepper.run(x, state), state
        if any(self._hooks()):
            raise ArgumentError(
                "this layer has forward hooks (added by pruning or the older weight norm, for example), which a stream "
                "would not run: make pruning or weight norm permanent, or remove the hooks"
            )
        lstm, edits, weights = self._lstm, edits_in_force(self._lstm), weights_for_call(self._lstm)
        check_weights(weights, lstm.sizes)
        bound = resolve_edits(edits, lstm.sizes, x, Span(len(x), start, open_end=True))
        h, *more = state
        result = dispatch.run(Call(lstm.sizes, weights, x, h, more[0] if more else None, edits=bound))
        return result.out, (result.h_n,) if result.c_n is None else (result.h_n, result.c_n)

    def quick(self, state: States, now: FastStep | None, turn: dict[str, object]) -> FastStep | None:
        """Return the quick step, which remains valid until something changes; None if it is not possible.

        The current one, ``now``, is reused if it is still valid. It refuses to run while ``turn`` has a holder.
        """
        stepper = None if self._is_blocked() else self._packed.stepper()
        if now is not None and now.stepper is stepper and now.writes(state):
            return now
        if stepper is None or (state[0].dtype, state[-1].dtype) != (stepper.kernel.element, stepper.kernel.real):
            return None
        step = stepper.quick(state)
        step.native.take_turns(turn)
        step.native.guard_parameters(self._packed.stored, self._packed.named())
        step.native.guard_empty([*self._hooks(), stepper.outdated], [scoped_edits, chosen_backends])
        # The guard read the versions just now; if another thread wrote after the weights were packed, the packed ones
        # are stale.
        return step if self._packed.stepper() is stepper else None

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as they are now."""
        named = self._lstm._flat_weights_names
        return dict(zip(named, self._lstm._flat_weights, strict=True))

    def forget(self) -> None:
        """Check the weights again at the next step."""
        self._packed.forget()

    def _is_blocked(self) -> bool:
        """Whether packed weights cannot be used because of a hook, an edit, a forced path or a torch transform."""
        return any(self._hooks()) or bool(edits_in_force(self._lstm)) or uses_reference() or transformed()

    def _hooks(self) -> list[dict[int, Any]]:
        return [self._lstm._forward_pre_hooks, self._lstm._forward_hooks]
