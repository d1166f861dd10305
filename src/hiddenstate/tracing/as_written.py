"""Blocks in which compiled models run as plain Python, because a compiled graph has no modules to record."""

import sys
from typing import Any

from hiddenstate.base.forks import in_forked_children
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scoped import Block

# The stance of torch's compiler while any block is open, which all threads share, and the open blocks.
_stance: Switch | None = None
_blocks: "list[InForce[None]]" = []


def as_written() -> Block:
    """Return a context manager in which nothing runs compiled.

    A function compiled with ``fullgraph=True`` can't be recorded.
    """
    # If torch's compiler is not loaded, nothing is compiled, and loading it would take seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is None:
        return Block()
    compiler._set_stance(compiler._stance)  # raises if called inside a compiled function, in any thread
    return Block(_blocks, (None,), (_forced_eager(compiler),))


def _forced_eager(compiler: Any) -> Switch:
    # `torch.compiler.set_stance` runs several lines of Python, which Ctrl-C could interrupt midway.
    global _stance
    if _stance is None:
        _stance = Switch(vars(compiler), "_stance", compiler.DynamoStance("force_eager"))
    return _stance


def _end_all() -> None:
    """In a forked process, end the blocks of threads that do not exist there."""
    for block in [*_blocks]:
        block.close()


in_forked_children(_end_all)
