"""The example that a module is run on: which axes are rows and time steps, and copies in which some of them differ."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hiddenstate.errors import ArgumentError, ArgumentTypeError
from hiddenstate.tracing.watch import leaves_in, map_tree, rows_of_packed, tensors_in

ROWS, STEPS = 3, 32  # an example is cut to this many, if the module runs on them
_LONGEST_UNCUT = 48


@dataclass(frozen=True)
class Part:
    """One tensor of the example, and its axes; None where it has no such axis."""

    rows: int | None = None
    steps: int | None = None
    kind: str = "other"  # or sequence, rows (one value or state a row), lengths, mask, targets


@dataclass(frozen=True)
class Example:
    """Arguments of the module, with what is known about their axes."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    targets: Any
    parts: tuple[Part, ...]
    primary: int  # which part is the sequence
    layout: str
    rows: int
    steps: int
    lengths: Tensor | None = None  # the true length of each row

    @property
    def leaves(self) -> list[Any]:
        """The tensors, packed sequences and lists of numbers, in order."""
        return leaves_in([self.args, self.kwargs, self.targets])

    @property
    def sequence(self) -> Tensor:
        """The tensor of the sequences; packed ones are padded, batch first."""
        leaf = self.leaves[self.primary]
        return pad_packed_sequence(leaf, batch_first=True)[0] if isinstance(leaf, PackedSequence) else leaf

    def mapped(self, change: Callable[[Any, Part], Any]) -> "Example":
        """Return an example with a function applied to each leaf and its axes."""
        parts = iter(self.parts)
        tree = [self.args, dict(self.kwargs), self.targets]
        args, kwargs, targets = map_tree(tree, lambda leaf: change(leaf, next(parts)))
        return replace(self, args=args, kwargs=kwargs, targets=targets)

    def cut(self, rows: int, steps: int) -> "Example":
        """Return an example with this many rows, which may repeat, and this many first steps."""
        return self._of_rows(self._choose_rows(rows), steps)

    def without_longest(self) -> "Example":
        """Return a copy with as many rows, in which the next longest stands in for the longest ones."""
        assert self.lengths is not None, "only an example with lengths has longest rows"
        is_longest = self.lengths == self.lengths.max()
        instead = int(self.lengths.masked_fill(is_longest, 0).argmax())
        return self._of_rows(torch.where(is_longest, instead, torch.arange(self.rows)), self.steps)

    def _of_rows(self, chosen: Tensor, steps: int) -> "Example":
        rows = len(chosen)
        lengths = None if self.lengths is None else _scaled(self.lengths[chosen], steps, self.steps)

        def change(leaf: Any, part: Part) -> Any:
            if isinstance(leaf, PackedSequence):
                padded, sizes = pad_packed_sequence(leaf, batch_first=True)
                padded, sizes = padded[chosen, :steps], _scaled(sizes[chosen], steps, self.steps)
                return pack_padded_sequence(padded, sizes, batch_first=True, enforce_sorted=False)
            if part.kind == "lengths" and not isinstance(leaf, Tensor):
                return _scaled(torch.tensor(leaf)[chosen], steps, self.steps).tolist()
            if not isinstance(leaf, Tensor) or part.rows is None:
                return leaf
            leaf = leaf.index_select(part.rows, chosen.to(leaf.device))
            if part.kind == "lengths":
                return _scaled(leaf, steps, self.steps)
            return leaf if part.steps is None or steps >= self.steps else leaf.narrow(part.steps, 0, steps)

        return replace(self.mapped(change), rows=rows, steps=min(steps, self.steps), lengths=lengths)

    def with_constant_padding(self) -> "Example":
        """Return a copy in which numbers after the end of each row are 0; tokens are left as they are."""
        if self.lengths is None:
            return self
        lengths = self.lengths

        def change(leaf: Any, part: Part) -> Any:
            if part.kind != "sequence" or not isinstance(leaf, Tensor) or not leaf.is_floating_point():
                return leaf
            return leaf.masked_fill(
                self._mask(leaf, part, lambda rows, steps: steps >= lengths[rows]).to(leaf.device), 0
            )

        return self.mapped(change)

    def small(self) -> "Example":
        """Return a cut that is quick to run, and whose numbers of rows and steps differ."""
        steps = STEPS if self.steps > _LONGEST_UNCUT else self.steps
        if "N" not in self.layout:
            return self.cut(1, steps)
        # A number of rows that does not divide that of the steps, so that a wrong view can't be right by chance.
        return self.cut(next(rows for rows in (ROWS, 4, 5, 7, 11) if steps % rows), steps)

    def _choose_rows(self, count: int) -> Tensor:
        if self.lengths is not None and self.rows >= count:  # the longest and the shortest among them
            order = self.lengths.argsort(descending=True, stable=True)
            return order[torch.linspace(0, self.rows - 1, count).long()].sort().values
        return torch.arange(count) % self.rows

    def with_row_changed(self, row: int, generator: torch.Generator) -> "Example":
        """Return a copy in which a whole row is different."""
        return self._changed(lambda rows, steps: rows == row, generator, ("sequence", "rows"))

    def with_step_changed(self, step: int, generator: torch.Generator) -> "Example":
        """Return a copy in which the input at a step differs, counted from the end of each row if negative."""
        lengths = torch.full((self.rows,), self.steps) if self.lengths is None else self.lengths

        def is_chosen(rows: Tensor, steps: Tensor) -> Tensor:
            return steps == (step if step >= 0 else lengths[rows] + step)

        return self._changed(is_chosen, generator, ("sequence",))

    def with_padding_changed(self, generator: torch.Generator) -> "Example":
        """Return a copy with other values after the end of each row."""
        lengths = self.lengths
        assert lengths is not None, "only an example with lengths has padding"
        return self._changed(lambda rows, steps: steps >= lengths[rows], generator, ("sequence",), 3.0)

    def with_states_changed(self, generator: torch.Generator) -> "Example":
        """Return a copy with other initial states."""
        return self._changed(lambda rows, steps: rows >= 0, generator, ("rows",))

    def lengthened(self, extra: int) -> "Example":
        """Return a copy with more padding, which repeats the last step of the shortest row."""
        assert self.lengths is not None, "only an example with lengths has padding"
        row = int(self.lengths.argmin())

        def change(leaf: Any, part: Part) -> Any:
            if not isinstance(leaf, Tensor) or part.steps is None or part.rows is None:
                return leaf
            last = leaf.select(part.rows, row).unsqueeze(part.rows).narrow(part.steps, self.steps - 1, 1)
            sizes = [*leaf.shape]
            sizes[part.steps] = extra
            return torch.cat([leaf, last.expand(sizes)], part.steps)

        return replace(self.mapped(change), steps=self.steps + extra)

    def first_steps(self, start: int, end: int) -> "Example":
        """Return the steps from start to end of all sequences."""

        def change(leaf: Any, part: Part) -> Any:
            has_steps = isinstance(leaf, Tensor) and part.steps is not None
            return leaf.narrow(part.steps, start, end - start) if has_steps else leaf

        return replace(self.mapped(change), steps=end - start)

    def _changed(
        self,
        chosen: Callable[[Tensor, Tensor], Tensor],
        generator: torch.Generator,
        kinds: Sequence[str],
        noise: float = 1.0,
    ) -> "Example":
        def change(leaf: Any, part: Part) -> Any:
            if part.kind not in kinds or isinstance(leaf, list):
                return leaf
            if isinstance(leaf, PackedSequence):
                mask = chosen(*rows_of_packed(leaf)).view(-1, *[1] * (leaf.data.dim() - 1))
                return leaf._replace(data=_other_values(leaf.data, mask, generator, noise))
            return _other_values(leaf, self._mask(leaf, part, chosen).to(leaf.device), generator, noise)

        return self.mapped(change)

    def _mask(self, leaf: Tensor, part: Part, chosen: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return chosen(*torch.broadcast_tensors(_along(leaf, part.rows), _along(leaf, part.steps)))


def _along(leaf: Tensor, axis: int | None) -> Tensor:
    sizes = [1] * leaf.dim()
    if axis is None:
        return torch.zeros(sizes).long()
    sizes[axis] = leaf.shape[axis]
    return torch.arange(leaf.shape[axis]).view(sizes)


def _scaled(lengths: Tensor, steps: int, of: int) -> Tensor:
    """Return lengths in a sequence of fewer steps, in proportion, so that padding stays padding."""
    return lengths if steps >= of else (lengths * steps / of).ceil().to(lengths.dtype).clamp(min=1)


def _other_values(values: Tensor, mask: Tensor, generator: torch.Generator, size: float) -> Tensor:
    """Return a tensor with the masked values changed: floats by noise, integers to others that occur in it."""
    if values.dtype == torch.bool:
        return values
    if values.is_floating_point():
        scale = size * float(values.std()) if values.numel() > 1 else 1.0
        noise = torch.randn(values.shape, generator=generator).to(values)
        return torch.where(mask, values + noise * (scale if 0 < scale < float("inf") else 1.0), values)
    known = values.unique()
    if len(known) > 2:  # 0 is often padding, an unknown word or the end
        known = known[known != 0]
    if len(known) == 1:
        return torch.where(mask, torch.where(values > 0, values - 1, values + 1), values)
    shift = torch.randint(1, len(known), values.shape, generator=generator).to(values.device)
    place = torch.searchsorted(known, values.contiguous()).clamp(max=len(known) - 1)
    other = known[(place + shift) % len(known)]
    return torch.where(mask, torch.where(other == values, known[place - 1], other), values)


def read_example(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    targets: Any,
    layout: str | None,
    lengths: Any,
    padding: int | None,
) -> Example:
    """Find the axes of a module's arguments: the sequence is the first tensor with two or more."""
    leaves = leaves_in([args, dict(kwargs)])
    arguments = len(leaves)
    leaves += leaves_in(targets)
    primary = next((k for k, leaf in enumerate(leaves[:arguments]) if _is_sequence(leaf)), None)
    arrays = [type(leaf).__name__ for leaf in leaves[:arguments] if hasattr(leaf, "__array__") and not _is_tensor(leaf)]
    if primary is None and arrays:
        raise ArgumentTypeError(
            f"expected tensors, got {arrays[0]}: convert it with torch.as_tensor, to the model's dtype"
        )
    ragged = next((arg for arg in (*args, *kwargs.values()) if _is_ragged(arg)), None)
    if ragged is not None and (primary is None or leaves[primary] is ragged[0]):
        raise ArgumentTypeError(
            f"the example is a list of {len(ragged)} sequences of different lengths, without a batch axis: "
            "wrap the model in one that takes a padded batch, pad_sequence(batch, batch_first=True), and lengths"
        )
    if primary is None:
        shapes = [tuple(tensor.shape) for tensor in tensors_in([args, kwargs])]
        raise ArgumentTypeError(
            f"expected an example of sequences, a tensor of two axes or more or a packed sequence, got tensors of the "
            f"shapes {shapes}: pass what the module is called with, check(model, x)"
        )
    x = leaves[primary]
    if isinstance(x, PackedSequence):
        padded, sizes = pad_packed_sequence(x, batch_first=True)
        layout, rows, steps, lengths = "NT", len(sizes), padded.shape[1], sizes
    else:
        layout = _read_layout(layout, x)
        rows = x.shape[layout.index("N")] if "N" in layout else 1
        steps = x.shape[layout.index("T")] if "T" in layout else 1
    if not rows or not steps:
        raise ArgumentError(f"the example is empty: it has {rows} rows of {steps} steps")
    axes = [_part(leaf, k == primary, layout, rows, steps, x) for k, leaf in enumerate(leaves)]
    parts = tuple(replace(part, kind="targets") if k >= arguments else part for k, part in enumerate(axes))
    if lengths is None:
        lengths = _find_lengths(leaves, parts, x, layout, padding)
    if lengths is not None:
        lengths = torch.as_tensor(lengths).cpu().long()
        if lengths.shape != (rows,) or int(lengths.min()) < 1 or int(lengths.max()) > steps:
            raise ArgumentError(
                f"lengths must be a whole number from 1 to {steps} for each of the {rows} rows, got {lengths.tolist()}"
            )
    return Example(tuple(args), dict(kwargs), targets, parts, primary, layout, rows, steps, lengths)


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | PackedSequence)


def _is_ragged(arg: Any) -> bool:
    """Whether an argument is a list of sequences ``[T, ...]`` that differ only in T."""
    if not isinstance(arg, list | tuple) or isinstance(arg, PackedSequence) or len(arg) < 2:
        return False
    is_each = all(isinstance(part, Tensor) and part.dim() > 0 for part in arg)
    return is_each and len({part.shape for part in arg}) > 1 and len({part.shape[1:] for part in arg}) == 1


def _is_sequence(leaf: Any) -> bool:
    return isinstance(leaf, PackedSequence) or (isinstance(leaf, Tensor) and leaf.dim() >= 2)


def _read_layout(layout: str | None, x: Tensor) -> str:
    if layout is None:
        layout = "NT"
    if not isinstance(layout, str):
        raise ArgumentTypeError(f"layout must be a str such as 'NTC', got {type(layout).__name__}")
    is_foreign = not layout.isalpha() or ("B" in layout and "N" not in layout)  # B for batch, as others write
    if is_foreign or len({*layout}) != len(layout) or "T" not in layout or len(layout) > x.dim():
        raise ArgumentError(
            f"layout must have a letter for each axis of the example, N for rows and T for time steps, such as 'NTC', "
            f"'TNC' or 'NCT', got {layout!r} for an example of {x.dim()} axes"
        )
    return layout


def _part(leaf: Any, is_primary: bool, layout: str, rows: int, steps: int, x: Any) -> Part:
    """Return the axes of a leaf, from its sizes."""
    n, t = layout.find("N"), layout.find("T")
    if is_primary:
        return Part(None if n < 0 else n, t, "sequence")
    if isinstance(leaf, PackedSequence):
        return Part(0, 1, "sequence")
    if isinstance(leaf, (list, tuple)) and len(leaf) == rows:
        return Part(0, None, "lengths")
    if not isinstance(leaf, Tensor) or n < 0:
        return Part()
    has_axes = isinstance(x, Tensor) and leaf.dim() >= 2 and leaf.shape[:2] == x.shape[:2] and max(n, t) < 2
    if has_axes:
        is_mask = leaf.dim() == 2 and bool(((leaf == 0) | (leaf == 1)).all())
        return Part(n, t, "mask" if leaf.dtype == torch.bool or is_mask else "sequence")
    if leaf.dim() == 1 and len(leaf) == rows:
        is_length = not leaf.is_floating_point() and bool(((leaf >= 1) & (leaf <= steps)).all())
        return Part(0, None, "lengths" if is_length else "rows")
    if leaf.dim() == 3 and leaf.is_floating_point() and leaf.shape[1] == rows and leaf.shape[0] != rows:
        return Part(1, None, "rows")  # a state
    if leaf.dim() >= 1 and rows in leaf.shape[:2]:
        axis = [*leaf.shape[:2]].index(rows)
        return Part(axis, None, "mask" if leaf.dtype == torch.bool else "rows")
    return Part()


def _find_lengths(leaves: Sequence[Any], parts: Sequence[Part], x: Tensor, layout: str, padding: int | None) -> Any:
    """Return the lengths among the arguments, those of a mask, or up to the padding at the end of rows of tokens."""
    for leaf, part in zip(leaves, parts, strict=True):
        if part.kind == "lengths":
            return leaf
    for leaf, part in zip(leaves, parts, strict=True):
        if part.kind == "mask" and part.steps is not None and isinstance(leaf, Tensor):
            mask = leaf.bool() if part.rows == 0 else leaf.bool().T
            for true in (mask, ~mask):
                if _are_first(true):
                    return true.sum(1)
    if padding is not None and not x.is_floating_point() and x.dim() == 2:
        true = (x if layout.startswith("N") else x.T).ne(padding)
        if not bool(true.all()) and _are_first(true):
            return true.sum(1)
    return None


def _are_first(true: Tensor) -> bool:
    """Whether the true steps of each row are its first ones, at least one."""
    return bool((true.long().diff(dim=1) <= 0).all()) and bool(true.any(1).all())
