"""What holds inside a block, however blocks end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar

from hiddenstate.base.scoped import Scoped, in_force, scope

VARIABLE: Scoped[str] = ContextVar("test", default=())


def test_blocks_nest() -> None:
    with scope(VARIABLE, ["a"]):
        with scope(VARIABLE, ["b", "a"]):
            assert in_force(VARIABLE) == ["a", "b", "a"]
        assert in_force(VARIABLE) == ["a"]
    assert in_force(VARIABLE) == []


def block(entry: str) -> Iterator[None]:
    with scope(VARIABLE, [entry]):
        while True:
            yield


def test_blocks_of_generators_may_end_in_any_order() -> None:
    first, second = block("first"), block("second")
    next(first), next(second)
    first.close()  # type: ignore[attr-defined]
    assert in_force(VARIABLE) == ["second"]
    second.close()  # type: ignore[attr-defined]
    assert in_force(VARIABLE) == []


def test_a_block_may_end_in_another_task() -> None:
    async def entries() -> AsyncIterator[None]:
        with scope(VARIABLE, ["task"]):
            yield

    async def run() -> list[str]:
        generator = entries()
        await asyncio.create_task(generator.__anext__())  # type: ignore[arg-type]
        await generator.aclose()  # type: ignore[attr-defined]
        return in_force(VARIABLE)

    assert asyncio.run(run()) == []
