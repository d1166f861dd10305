"""Entries in force inside blocks, however the blocks end."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from hiddenstate.base import native_module, scoped
from hiddenstate.base.native_module import PlainBlock, PlainSwitch
from hiddenstate.base.scoped import Scoped, in_force, lasting, scope, to_the_end

VARIABLE: Scoped[str] = ContextVar("test", default=())
ANYTHING: Scoped[Any] = ContextVar("anything", default=())

PLAIN = SimpleNamespace(Block=PlainBlock, Switch=PlainSwitch)


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


def test_a_block_that_ended_in_another_context_is_not_in_force() -> None:
    generator = block("first")
    next(generator)
    context = copy_context()
    context.run(generator.close)  # type: ignore[attr-defined]
    assert in_force(VARIABLE) == []
    assert context.run(in_force, VARIABLE) == []
    assert not scoped.any_open


def test_a_block_that_ended_in_another_thread_is_not_in_force() -> None:
    stack = ExitStack()
    stack.enter_context(scope(VARIABLE, ["a"]))
    thread = threading.Thread(target=stack.close)
    thread.start()
    thread.join()
    assert in_force(VARIABLE) == []
    assert not scoped.any_open


def test_a_block_of_an_async_generator_left_by_break_ends_with_it() -> None:
    async def entries() -> AsyncIterator[int]:
        with scope(VARIABLE, ["task"]):
            for k in range(3):
                yield k

    async def run() -> list[str]:
        async for _ in entries():
            break
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return in_force(VARIABLE)

    assert asyncio.run(run()) == []


def test_a_block_that_nobody_holds_ends() -> None:
    manager = scope(VARIABLE, ["a"])
    manager.__enter__()
    assert in_force(VARIABLE) == ["a"]
    del manager
    gc.collect()
    assert in_force(VARIABLE) == []
    assert not scoped.any_open


def test_a_block_in_a_circle_of_references_ends_when_it_is_collected() -> None:
    entry: list[Any] = []
    manager = scope(ANYTHING, [entry])
    entry.append(manager)
    manager.__enter__()
    del manager, entry
    gc.collect()
    assert in_force(ANYTHING) == []
    assert not scoped.any_open


def test_contexts_do_not_gather_blocks_that_ended_elsewhere() -> None:
    for _ in range(100):
        generator = block("a")
        next(generator)
        copy_context().run(generator.close)  # type: ignore[attr-defined]
    with scope(VARIABLE, ["b"]):
        assert len(VARIABLE.get()) == 1


def test_a_block_is_open_once() -> None:
    manager = scope(VARIABLE, ["a"])
    with manager:
        with pytest.raises(RuntimeError, match="already open"):
            manager.__enter__()
        assert in_force(VARIABLE) == ["a"]
    with manager:
        assert in_force(VARIABLE) == ["a"]
    assert in_force(VARIABLE) == []


def test_a_block_decorates_functions() -> None:
    @scope(VARIABLE, ["a"])
    def found(depth: int) -> list[str]:
        return found(depth - 1) if depth else in_force(VARIABLE)

    assert found(0) == ["a"]
    assert found(2) == ["a", "a", "a"]
    assert in_force(VARIABLE) == []


def interrupted(times: int, calls: list[int]) -> Callable[[], None]:
    def function() -> None:
        calls.append(1)
        if len(calls) <= times:
            raise KeyboardInterrupt

    return function


@pytest.mark.parametrize("times", [1, 3])
def test_what_is_interrupted_is_run_again_and_the_interrupt_goes_on(times: int) -> None:
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        to_the_end(interrupted(times, calls))
    assert len(calls) == times + 1


def test_the_end_of_a_block_is_reached_if_its_beginning_fails() -> None:
    ends: list[int] = []
    with pytest.raises(KeyboardInterrupt), lasting(interrupted(1, []), lambda: ends.append(1)):
        raise AssertionError("it was entered")
    assert ends == [1]


def test_an_exception_that_leaves_a_block_stays_itself() -> None:
    with pytest.raises(ZeroDivisionError), scope(VARIABLE, ["a"]):
        raise ZeroDivisionError
    assert in_force(VARIABLE) == []


@pytest.mark.parametrize("module", [native_module, PLAIN])
def test_a_switch_holds_its_value_while_blocks_are_open(module: Any) -> None:
    names: dict[str, int] = {"a": 1}
    switches = module.Switch(names, "a", 2), module.Switch(names, "b", 3)
    first, second = (module.Block(None, (), switches) for _ in range(2))
    with first:
        second.__enter__()
        assert names == {"a": 2, "b": 3}
    assert names == {"a": 2, "b": 3}
    second.close()
    second.close()
    assert names == {"a": 1}
    assert switches[0].count == 0


@pytest.mark.parametrize("module", [native_module, PLAIN])
@pytest.mark.parametrize("home", ["variable", "list"])
def test_blocks_in_both_languages(module: Any, home: str) -> None:
    variable: Any = ContextVar("blocks", default=()) if home == "variable" else []

    def entries() -> list[str]:
        return [entry for one in (variable if home == "list" else variable.get()) for entry in one.entries]

    outer, inner = module.Block(variable, ("a",)), module.Block(variable, ("b", "c"))
    with outer:
        inner.__enter__()
        assert entries() == ["a", "b", "c"]
    assert entries() == ["b", "c"]
    del inner
    gc.collect()
    assert entries() == []
    kept = outer.again()
    kept.open_for_good()
    with kept:
        assert entries() == ["a"]
    assert entries() == []


@pytest.mark.parametrize("module", [native_module, PLAIN])
def test_a_block_that_is_open_for_good_needs_no_one_to_hold_it(module: Any) -> None:
    names: dict[str, int] = {}
    switch = module.Switch(names, "a", 1)
    module.Block(None, (), (switch,)).open_for_good()
    gc.collect()
    assert names == {"a": 1}


@pytest.mark.parametrize("module", [native_module, PLAIN])
def test_functions_around_a_block_in_both_languages(module: Any) -> None:
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt), module.Block(after=interrupted(1, calls)):
        pass
    assert len(calls) == 2
    ends: list[int] = []
    with pytest.raises(KeyboardInterrupt), module.Block(before=interrupted(1, []), after=lambda: ends.append(1)):
        raise AssertionError("it was entered")
    assert ends == [1]
