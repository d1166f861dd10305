"""A server of streams: sources come and go, send at any time, and take one step together with all that have sent.

Run it: it simulates a thousand sources, and compares every answer with that of a separate stream.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch
from torch import Tensor

import hiddenstate as hs


class Server:
    """Steps an LSTM for all sources that have sent an input, in one native call per turn."""

    def __init__(self, lstm: hs.LSTM, batch: int = 64) -> None:
        self._stream = lstm.stream(batch=batch)
        self._stream.leave(range(batch))
        self._features = lstm.input_size
        self._waiting: dict[int, tuple[Tensor, asyncio.Future[Tensor]]] = {}
        self._has_work = asyncio.Event()
        self.turns = self.steps = 0

    @asynccontextmanager
    async def source(self) -> AsyncIterator["Source"]:
        """Open a source: it has a row of the stream until the block ends."""
        row = self._stream.join()
        try:
            yield Source(self, row)
        finally:
            self._waiting.pop(row, None)
            self._stream.leave(row)

    async def step(self, row: int, x: Tensor) -> Tensor:
        """Submit a row's next input, and wait for its output.

        Raises:
            ValueError: the input is not ``[C]`` finite numbers. All others that step in this turn would fail with it,
                and a NaN would stay in the state.
        """
        if x.shape != (self._features,) or not x.isfinite().all():
            raise ValueError(f"expected {self._features} finite numbers, got {x.tolist()}")
        answer: asyncio.Future[Tensor] = asyncio.get_running_loop().create_future()
        self._waiting[row] = x, answer
        self._has_work.set()
        return await answer

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            due, self._waiting = self._waiting, {}
            if not due:
                continue
            out = self._stream.step(torch.stack([x for x, _ in due.values()]), rows=list(due))
            self.turns, self.steps = self.turns + 1, self.steps + len(due)
            for (_, answer), value in zip(due.values(), out, strict=True):
                if not answer.cancelled():
                    answer.set_result(value)


class Source:
    """One sequence that is being read."""

    def __init__(self, server: Server, row: int) -> None:
        self._server = server
        self._row = row

    async def step(self, x: Tensor) -> Tensor:
        """Read one time step ``[C]``; return the last layer's hidden state ``[P]``."""
        return await self._server.step(self._row, x)


async def _simulate(server: Server, lstm: hs.LSTM, seed: int) -> bool:
    """Send some steps at irregular times; compare with a separate stream for this source."""
    chance = random.Random(seed)
    x = torch.randn(chance.randint(1, 12), lstm.input_size, generator=torch.Generator().manual_seed(seed))
    await asyncio.sleep(chance.random() * 0.2)
    async with server.source() as source:
        answers = []
        for value in x:
            answers.append(await source.step(value))
            await asyncio.sleep(chance.random() * 0.01)
    alone = lstm.stream()
    return all(torch.equal(answer, alone.step(value)) for answer, value in zip(answers, x, strict=True))


async def main(sources: int = 1000) -> Server:
    """Serve simulated sources, and print how many steps a turn took together."""
    torch.manual_seed(0)
    lstm = hs.LSTM(16, 32, num_layers=2)
    server = Server(lstm)
    serving = asyncio.create_task(server.run())
    right = await asyncio.gather(*(_simulate(server, lstm, seed) for seed in range(sources)))
    serving.cancel()
    assert all(right), "an answer differs from that of a stream of its own"
    print(
        f"{sources} sources, {server.steps} steps in {server.turns} turns; every answer is that of a stream of its own"
    )
    return server


if __name__ == "__main__":
    asyncio.run(main())
