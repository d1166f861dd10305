"""Runs the steps of a stream, on packed weights or on the general path."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from hiddenstate.edits.edit import Edit
from hiddenstate.edits.resolve import Span, edits_in_force, resolve_edits, scoped_edits
from hiddenstate.engine import dispatch
from hiddenstate.engine.call import Call, PathReport
from hiddenstate.engine.dispatch import chosen_backends
from hiddenstate.engine.paths.packed import FastStep, StreamSteps
from hiddenstate.engine.weights import check_weights
from hiddenstate.errors import ArgumentError
from hiddenstate.nn.packed_weights import Packed, fingerprint, shared_weights, weights_for_call
from hiddenstate.nn.recurrent_parameters import RecurrentParameters
from hiddenstate.nn.streams.stream_state import States


class StreamRunner:
    """Runs the next steps of a stream: on packed weights if possible, otherwise on the general path.

    The state may be updated in place and returned.
    """

    def __init__(self, lstm: RecurrentParameters) -> None:
        self._lstm = lstm

    @cached_property
    def _packed(self) -> Packed:
        """The packed weights, which all streams of the layer share."""
        packed = shared_weights(self._lstm)
        packed.check_again()
        return packed

    def __getstate__(self) -> dict[str, Any]:
        return {"_lstm": self._lstm}

    def run(self, x: Tensor, state: States, start: int) -> tuple[Tensor, States]:
        """Read ``x [T, N, C]``, whose first step is the stream's step ``start``; return ``out`` and the new state."""
        steps = self._steps(len(x), start)
        out, h_n, c_n, *_ = dispatch.run_steps(steps, x, state)
        return out, (h_n,) if c_n is None else (h_n, c_n)

    def path(self, x: Tensor, state: States, start: int) -> PathReport:
        """Report the path of these steps, and the reasons against the faster ones."""
        return dispatch.steps_report(self._steps(len(x), start), x, state)

    def _steps(self, count: int, start: int) -> StreamSteps:
        edits = edits_in_force(self._lstm)
        return StreamSteps(
            count, self._hooks(), bool(edits), self._packed.stepper_or_reason, partial(self._call, edits, start)
        )

    def _call(self, edits: Sequence[Edit], start: int, x: Tensor, state: States) -> Call:
        if any(self._hooks()):
            raise ArgumentError(
                "this layer has forward hooks (added by pruning or the older weight norm, for example), which a stream "
                "would not run: make pruning or weight norm permanent, or remove the hooks"
            )
        lstm, weights = self._lstm, weights_for_call(self._lstm)
        check_weights(weights, lstm.sizes)
        bound = resolve_edits(edits, lstm.sizes, Span(*x.shape[:2], start, open_end=True), x.device)
        h, *more = state
        return Call(lstm.sizes, weights, x, h, more[0] if more else None, edits=bound)

    def quick(self, state: States, now: FastStep | None, turn: dict[str, object]) -> FastStep | None:
        """Return the quick step, which remains valid until something changes; None if it is not possible.

        The current one, ``now``, is reused if it is still valid. It refuses to run while ``turn`` has a holder.
        """
        steps = self._steps(1, 0)
        stepper = steps.packed[0] if dispatch.why_not_packed(steps) is None else None
        if now is not None and now.stepper is stepper and now.writes(state):
            return now
        if stepper is None or (state[0].dtype, state[-1].dtype) != (stepper.kernel.element, stepper.kernel.real):
            return None
        step = stepper.quick(state)
        step.native.take_turns(turn)
        step.native.guard_parameters(self._packed.stored, self._packed.named())
        step.native.guard_empty([*self._hooks(), stepper.outdated], [scoped_edits, chosen_backends])
        # The guard has just read the versions. If another thread wrote to the weights after they were packed, the
        # packed ones are stale.
        return step if self._packed.stepper() is stepper else None

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as they are now."""
        named = self._lstm._flat_weights_names
        return dict(zip(named, self._lstm._flat_weights, strict=True))

    def fingerprint(self) -> str:
        """A hash of the weights."""
        return fingerprint(self._lstm._named_weights())

    def check_again(self) -> None:
        """Check the weights again at the next step, also for writes that torch's version counters miss."""
        self._packed.check_again()

    def _hooks(self) -> list[dict[int, Any]]:
        return [self._lstm._forward_pre_hooks, self._lstm._forward_hooks]
