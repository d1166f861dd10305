"""Reads an HDF5 file for another process, so that a file that crashes or hangs the HDF5 library ends only this one.

It is run as a script, by path. It imports nothing from hiddenstate, because torch takes seconds to load. It reads an
order, a line of JSON, and writes that it begins, its answer in JSON, and the arrays.
"""

import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve the order."""
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the library's own output out of the answers
    order = json.loads(orders.readline())
    sys.path[:] = order["sys_path"]
    import h5py  # noqa: F401 (first, since loading it takes more memory than its limit)

    _limit(order["memory"], order["seconds"])
    answers.write(b"begun\n")
    answers.flush()
    content = order["path"] if order["size"] is None else io.BytesIO(orders.read(order["size"]))
    head, arrays = answer(content, order)
    answers.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        answers.write(array.data)
    answers.flush()


def answer(content: Any, order: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Serve an order: ``read`` datasets, or list all objects with some of their attributes."""
    import h5py

    try:
        if isinstance(content, str) and not h5py.is_hdf5(content):
            return {"error": "is neither a .keras file (a zip) nor an HDF5 file, or was cut short"}, []
        with h5py.File(content, "r") as file:
            return _read(file, order["read"]) if "read" in order else (_list(file, order), [])
    except Exception as error:  # a damaged file can make the library raise anything
        return {"error": f"is damaged: {error} ({type(error).__name__})"}, []


def _read(file: Any, names: list[str]) -> tuple[dict[str, Any], list[Any]]:
    import numpy as np

    arrays = [np.ascontiguousarray(file[name][()]).reshape(-1).view(np.uint8) for name in names]
    return {"nbytes": [array.nbytes for array in arrays]}, arrays


def _list(file: Any, order: dict[str, Any]) -> dict[str, Any]:
    items: dict[str, Any] = {"": file["/"]}
    file.visititems(items.__setitem__)
    answer = {"items": {path: _describe(item, order) for path, item in items.items()}}
    if len(json.dumps(answer)) > order["longest_answer"]:
        return {"error": "has more groups and datasets than Keras files have"}
    return answer


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
