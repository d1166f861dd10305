"""Runs rows, counts them, and reports progress. Ctrl-C stops it between two runs."""

from dataclasses import dataclass

from torch import Tensor

from hiddenstate.base.validation import AnyState
from hiddenstate.explain.subject.bounds import check_row_steps
from hiddenstate.explain.subject.outputs import Outputs
from hiddenstate.explain.subject.progress_bar import Progress
from hiddenstate.explain.subject.subject import Subject
from hiddenstate.explain.subject.target import Target

ROW_STEPS_AT_ONCE = 2**16
BYTES_AT_ONCE = 2**27  # maximum size of outputs and states; gradients need several times as much


@dataclass
class BatchRunner:
    """Runs a subject on many rows for one target.

    Attributes:
        subject: a subject with one row.
        target: the target, evaluated for each row.
        progress: called with ``cost`` and ``total`` after each run.
        total: the total number of row-steps, as far as it is known.
        cost: the number of row-steps run so far.
    """

    subject: Subject
    target: Target
    progress: Progress | None = None
    total: int = 0
    cost: int = 0

    def run(self, x: Tensor, state: AnyState | None = None, *, first: int = 0) -> Outputs:
        """Run rows ``x [T', R, C]`` from step ``first`` on."""
        keep = self.target.keep if self.target.t is not None and first <= self.target.t < first + len(x) else ()
        outputs = self.subject.run(x, state, keep=keep, steps=self.target.steps if keep else (), first=first)
        self.count(x.shape[0] * x.shape[1])
        return outputs

    def values(self, x: Tensor, state: AnyState | None = None) -> Tensor:
        """Return the target's value ``[R]`` in each row of whole inputs ``x [T, R, C]``."""
        return self.target.of(self.run(x, state))

    def expect(self, row_steps: int) -> None:
        """Announce that at least this many more row-steps will be run.

        Raises:
            ArgumentError: there are too many.
        """
        cure = f"give fewer than T = {self.subject.T:,} steps, join steps with spans=, or lower samples= or points="
        check_row_steps(row_steps, cure)
        self.total = max(self.total, self.cost + row_steps)

    def count(self, row_steps: int) -> None:
        """Count row-steps that were run, and report progress."""
        self.cost += row_steps
        if self.progress is not None:
            self.progress(self.cost, max(self.total, self.cost))

    @property
    def rows_at_once(self) -> int:
        """The number of rows of whole inputs to run together, so that memory stays bounded."""
        subject, sizes = self.subject, self.subject.sizes
        width = sizes.input_size + 6 * len(sizes.layer_directions) * sizes.hidden_size
        by_memory = BYTES_AT_ONCE // (subject.T * width * subject.x.element_size())
        return max(1, min(by_memory, ROW_STEPS_AT_ONCE // subject.T))
