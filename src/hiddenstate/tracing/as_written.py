"""Blocks in which models run as they are written: a record needs the modules that a compiled graph has dissolved."""

import sys
from typing import Any

from hiddenstate.base.forks import in_forked_children
from hiddenstate.base.native_module import InForce, Switch
from hiddenstate.base.scoped import Block

# torch's stance, which is one for all threads, while any block is open; and these blocks.
_stance: Switch | None = None
_blocks: "list[InForce[None]]" = []


def as_written() -> Block:
    """Return a block in which nothing runs compiled: what may not break (``fullgraph=True``) can't be recorded."""
    # Without torch's compiler loaded nothing can be compiled, and loading it takes seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is None:
        return Block()
    compiler._set_stance(compiler._stance)  # refused inside of a compiled function, in every thread
    return Block(_blocks, (None,), (_stance_of(compiler),))


def _stance_of(compiler: Any) -> Switch:
    # What `torch.compiler.set_stance` does takes several lines of Python, between which Ctrl-C may strike.
    global _stance
    if _stance is None:
        _stance = Switch(vars(compiler), "_stance", compiler.DynamoStance("force_eager"))
    return _stance


def _end_all() -> None:
    """End, in a forked process, the blocks of the threads that it has not."""
    for block in [*_blocks]:
        block.close()


in_forked_children(_end_all)
