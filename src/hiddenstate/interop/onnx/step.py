"""One step of a whole module as an ONNX file, with the states of its parts as named inputs and outputs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.onnx.check import ExampleCall, compare, outputs_of, result_names, session_of
from hiddenstate.interop.torch.streaming.carrying import carriers_of
from hiddenstate.interop.torch.streaming.finding import ModelForm, resized
from hiddenstate.interop.torch.streaming.stream import ModelStream, stream
from hiddenstate.interop.torch.streaming.verifying import gap

_STEPS = 9  # that a file is checked on


class OneStep(nn.Module):
    """A module that takes a step and the states, and returns the results and the next states."""

    def __init__(self, form: ModelForm, model: nn.Module) -> None:
        super().__init__()
        paths = {path: carrier for carrier, path in carriers_of(model).items()}
        carriers = {paths[path]: path for path in form.carriers.values()}
        self.model, self.form = model, replace(form, model=model, carriers=carriers)

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Read a step ``x``, without an axis of steps, from these states."""
        form, steps = self.form, self.form.example.axes[1]
        call = form.call_from(states, 1, None)
        with call.within():
            tree = form.example.call(self.model, x if steps is None else x.unsqueeze(steps))
        leaves = [
            leaf if axes[1] is None else leaf.squeeze(axes[1])
            for leaf, axes in zip(pytree.tree_leaves(tree), form.outputs, strict=True)
            if axes is not None
        ]
        before = zip(states, form.states.values(), strict=True)
        return (*leaves, *(call.after[key][k] if key in call.after else old for old, (key, k, _) in before))


class StepExport:
    """The export of a module's step: the module to export, its example call, and the check of a file."""

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        form = self.form = stream(module, *args, **kwargs)._form
        (rows, steps), like = form.example.axes, form.example.x
        self.x = resized(resized(like, rows, 3), steps, _STEPS) if steps is not None else resized(like, rows, 3)
        begun = ModelStream._of(form, 1 if rows is None else self.x.shape[rows])
        self.row = None if rows is None else rows - (steps is not None and steps < rows)  # the axis of rows of a step
        auto = torch.export.Dim.AUTO
        shapes = {
            "x": {} if self.row is None else {self.row: auto},
            "states": tuple({} if part.axis is None else {part.axis: auto} for part in form.forms),
        }
        inputs = ["x", *form.states]
        self.example = ExampleCall(
            (self._step(0), *begun.state.values()),
            {},
            shapes,
            inputs,
            [*self._results(), *(f"{name}_next" for name in form.states)],
        )
        self._refuse_initial_states(begun)

    def _results(self) -> list[str]:
        names = zip(result_names(self.form.spec), self.form.outputs, strict=True)
        return [name for name, axes in names if axes is not None]

    def _step(self, t: int) -> Tensor:
        steps = self.form.example.axes[1]
        return (self.x if steps is None else self.x.select(steps, t % self.x.shape[steps])).contiguous()

    @torch.no_grad()
    def _refuse_initial_states(self, fresh: ModelStream) -> None:
        """Reject a module whose initial state is not zero."""
        begun = fresh.fork()
        begun.state = begun.state
        leaves = [pytree.tree_leaves(running.step(self._step(0))) for running in (fresh, begun)]
        if any(isinstance(a, Tensor) and gap(a, b) > 1 for a, b in zip(*leaves, strict=True)):
            raise ArgumentError(
                "the module starts from its own initial state, but the states of a step start at zero: give it an "
                "argument for the initial state, and zeros in args="
            )

    def check(self, file: Path, tolerance: float) -> None:
        """Run a file over several steps, each from the states that it returned, and compare it with the stream."""
        session, rows = session_of(file), self.form.example.axes[0]
        for n in (1,) if rows is None else (self.x.shape[rows], 1):
            running = ModelStream._of(self.form, n)
            states = running.state
            for t in range(_STEPS):
                x = self._step(t) if self.row is None else self._step(t).narrow(self.row, 0, n)
                got = outputs_of(session, {"x": x, **states}, f"step {t} of {n} rows")
                results = [leaf for leaf in pytree.tree_leaves(running.step(x)) if isinstance(leaf, Tensor)]
                wanted = [*results, *running.state.values()]
                for name, a, b in zip(self.example.output_names or (), got, wanted, strict=True):
                    compare(a, b.detach().cpu(), tolerance, f"{name} of the file at step {t} of {n} rows")
                states = dict(zip(states, got[len(results) :], strict=True))
