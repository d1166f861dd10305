"""One time step at a time, with the state carried."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hiddenstate.checks import check_pair, check_tensor
from hiddenstate.errors import (
    ArgumentError,
    ArgumentTypeError,
    DtypeError,
    FileFormatError,
    RankError,
    ShapeError,
)
from hiddenstate.files import read_tensors, write_tensors
from hiddenstate.sizes import Sizes

State = tuple[Tensor, Tensor]
# (x [T, N, C], state, time step of x[0]) -> (out [T, N, P], new state)
Advance = Callable[[Tensor, State, int], tuple[Tensor, State]]

KIND = "hiddenstate.stream/1"


class Stream:
    """A running LSTM: give it one step (or a chunk), it remembers the state. Made by `hiddenstate.LSTM.stream`.

    Chunks of any size give the same numbers as the whole sequence at once. A stream computes no gradients and no
    dropout, and follows the LSTM's weights. Its state changes with each call, so use one stream per thread.

    >>> import hiddenstate as hs, torch
    >>> stream = hs.LSTM(4, 3).stream()
    >>> stream.step(torch.zeros(4)).shape
    torch.Size([3])
    """

    def __init__(self, advance: Advance, sizes: Sizes, batch: int, like: Tensor) -> None:
        if isinstance(batch, bool) or not isinstance(batch, int):
            raise ArgumentTypeError(f"batch must be an int, got {type(batch).__name__}")
        if batch < 1:
            raise ArgumentError(f"batch must be at least 1, got {batch}")
        if sizes.bidirectional:
            raise ArgumentError(
                "a bidirectional LSTM can't be streamed: its reverse direction begins at the last step, which has not "
                "come yet. Use bidirectional=False"
            )
        self._advance = advance
        self._sizes = sizes
        self._batch = batch
        self._like = like
        self.reset()

    @property
    def batch(self) -> int:
        """How many sequences run side by side, N."""
        return self._batch

    @property
    def t(self) -> int:
        """Time steps taken since the stream began or was last reset as a whole."""
        return self._t

    @property
    def state(self) -> State:
        """Copies of ``h [L, N, P]`` and ``c [L, N, H]``; assign a pair of such tensors to go on from there.

        Raises:
            ShapeError, DtypeError, DeviceError, ArgumentTypeError: on assignment, what does not fit.
        """
        return self._state[0].clone(), self._state[1].clone()

    @state.setter
    def state(self, value: State) -> None:
        h, c = (
            check_tensor(part, name, self._like) for name, part in zip("hc", check_pair(value, "state"), strict=True)
        )
        for name, part, want in zip("hc", (h, c), self._state_shapes(), strict=True):
            if part.shape != want:
                raise ShapeError(f"{name} has shape {list(part.shape)}, expected [L, N, units] = {list(want)}")
        self._state = h.detach().clone(), c.detach().clone()

    def step(self, x: Tensor) -> Tensor:
        """Read one time step.

        Args:
            x: ``[N, C]``; ``[C]`` also serves when the batch is 1.

        Returns:
            The last layer's hidden state, ``[N, P]`` or ``[P]`` as x came.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: what does not fit.
        """
        check_tensor(x, "x", self._like)
        if x.dim() == 1 and self._batch == 1:
            return self.feed(x.view(1, 1, -1))[0, 0]
        if x.dim() != 2:
            allowed = "[N, C] or [C]" if self._batch == 1 else "[N, C]"
            raise RankError(f"a step must be {allowed}, got {x.dim()}D of shape {list(x.shape)}; feed() takes chunks")
        return self.feed(x.unsqueeze(0))[0]

    def feed(self, chunk: Tensor) -> Tensor:
        """Read several time steps.

        Args:
            chunk: ``[T, N, C]``, time first whatever the LSTM's ``batch_first``; T may be 0.

        Returns:
            The last layer's hidden state at each step, ``[T, N, P]``.

        Raises:
            RankError, ShapeError, DtypeError, DeviceError, ArgumentTypeError: what does not fit.
        """
        check_tensor(chunk, "chunk", self._like)
        if chunk.dim() != 3:
            raise RankError(f"a chunk must be [T, N, C], got {chunk.dim()}D of shape {list(chunk.shape)}")
        T = chunk.shape[0]
        want = (T, self._batch, self._sizes.input_size)
        if chunk.shape != want:
            raise ShapeError(
                f"got {list(chunk.shape[1:])} features a step, expected [N, C] = {list(want[1:])}: this stream was "
                f"made for batch={self._batch}"
            )
        if T == 0:
            return chunk.new_zeros(0, self._batch, self._sizes.output_size)
        with torch.no_grad():
            out, self._state = self._advance(chunk, self._state, self._t)
        self._t += T
        return out

    def reset(self, mask: Tensor | None = None) -> None:
        """Zero the state: of all rows, or of those where the mask (bool ``[N]``) is True.

        Without a mask the count of steps, ``t``, begins again too.

        Raises:
            ArgumentTypeError, ShapeError: the mask is not a bool tensor of shape ``[N]``.
        """
        if mask is None:
            self._t = 0
            h, c = (self._like.new_zeros(shape, requires_grad=False) for shape in self._state_shapes())
            self._state = h, c
            return
        if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
            raise ArgumentTypeError("mask must be a bool tensor [N]: True for the rows to reset")
        if mask.shape != (self._batch,):
            raise ShapeError(f"mask has shape {list(mask.shape)}, expected [N] = [{self._batch}]")
        begins = mask.to(self._like.device)[:, None]
        self._state = torch.where(begins, 0, self._state[0]), torch.where(begins, 0, self._state[1])

    def fork(self) -> "Stream":
        """Return a second stream that goes on from this one's state; from here on they are apart."""
        other = Stream(self._advance, self._sizes, self._batch, self._like)
        other._state, other._t = self.state, self._t
        return other

    def save(self, path: str | Path) -> None:
        """Write the state and the count of steps to a safetensors file (beside, then renamed)."""
        write_tensors(path, KIND, {"h": self._state[0], "c": self._state[1]}, {"t": str(self._t)})

    def load(self, path: str | Path) -> None:
        """Go on from a state that `save` wrote.

        Raises:
            FileFormatError: the file is not a stream's state, or one of other sizes or another type.
        """
        tensors, metadata = read_tensors(path, KIND)
        try:
            self.state = tensors["h"].to(self._like.device), tensors["c"].to(self._like.device)
        except (ShapeError, DtypeError) as error:
            raise FileFormatError(f"the state in {path} is not of this LSTM and batch: {error}") from error
        self._t = int(metadata["t"])

    def __repr__(self) -> str:
        return f"Stream(batch={self._batch}, t={self._t})"

    def _state_shapes(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        L, N, sizes = self._sizes.num_layers, self._batch, self._sizes
        return (L, N, sizes.output_size), (L, N, sizes.hidden_size)
