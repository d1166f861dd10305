"""Reads an HDF5 file for another process, so that a file that crashes or hangs the HDF5 library ends only this one.

It is run as a script, by path. It imports nothing from hiddenstate, because torch takes seconds to load. Requests and
answers are lines of JSON; an answer is followed by the payload that it announces.
"""

import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve requests until there are no more, or one fails."""
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the library's own output out of the answers
    begin = json.loads(orders.readline())
    sys.path[:] = begin["sys_path"]
    import h5py

    _limit(begin["memory"], begin["seconds"])
    _say(answers, {"ready": True})
    content = begin["path"] if begin["size"] is None else io.BytesIO(orders.read(begin["size"]))
    try:
        with h5py.File(content, "r") as file:
            for order in orders:
                _say(answers, *answer(file, json.loads(order)))
    except Exception as error:  # a damaged file can make the library raise anything
        _say(answers, {"error": f"{error} ({type(error).__name__})"})


def answer(file: Any, order: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Serve one request: ``list`` a group, with some attributes of each object, or ``read`` a dataset."""
    if "list" in order:
        items: dict[str, Any] = {"": file[order["list"]]}
        items[""].visititems(items.__setitem__)
        return {"items": {path: _describe(item, order) for path, item in items.items()}}, None
    import numpy as np

    array = np.ascontiguousarray(file[order["read"]][()]).reshape(-1)
    return {"nbytes": array.nbytes}, array.view(np.uint8)


def _describe(item: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Describe a group or a dataset."""
    texts = {name: _text(item.attrs, name, order["longest"]) for name in order["texts"] if name in item.attrs}
    shape = getattr(item, "shape", None)  # None for groups and null datasets
    if shape is None:
        return {"name": item.name, "texts": texts}
    dtype = "|O"  # any type that is not numeric in NumPy
    with suppress(TypeError):
        dtype = item.dtype.str
    elsewhere = bool(item.external or item.is_virtual)
    return {"name": item.name, "texts": texts, "shape": list(shape), "dtype": dtype, "elsewhere": elsewhere}


def _text(attributes: Any, name: str, longest: int) -> str:
    """A string attribute of an object; "" if it is not a string."""
    size = attributes.get_id(name).get_storage_size()  # for variable-length strings, only the reference's size
    value = attributes[name] if size <= longest else b""
    size = max(size, len(value) if isinstance(value, (bytes, str)) else 0)
    if size > longest:
        raise ValueError(f"{name} has {size:,} bytes, expected at most {longest:,}")
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _say(answers: Any, head: dict[str, Any], array: Any = None) -> None:
    answers.write(json.dumps(head).encode() + b"\n")
    if array is not None:
        answers.write(array.data)
    answers.flush()


def _limit(memory: int, seconds: int) -> None:
    """Limit the additional memory and the CPU time of this process."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    held = Path("/proc/self/statm")
    if held.exists():  # other systems neither report memory this way nor enforce the limit
        most = int(held.read_text().split()[0]) * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()
