"""Models in a page: loaded from bundles and run, with their numbers returned as tensors."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import hiddenstate as hs
from studio.bundles import Bundle
from studio.chromium import Modules, modules

ATOL = 1e-5  # on logits, and on everything that they are computed from

_DRIVER = """
async () => {
  const { loadModel } = await import("studio/runtime/model.js");
  const text = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const packed = (value) => {
    if (ArrayBuffer.isView(value)) {
      const kind = value.constructor.name;
      return { kind, bytes: text(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
    }
    if (Array.isArray(value)) return value.map(packed);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, packed(each)]));
  };
  const models = {};
  const rows = (given) => given.map((row) => Float32Array.from(row));
  window.load = async () => {
    const [head, weights] = await Promise.all([fetch("/files/head"), fetch("/files/weights")]);
    models.now = loadModel(await head.json(), await weights.arrayBuffer());
    models.text = models.now.tokenise;
    return true;
  };
  window.each = (given) => given.map(({ tokens, numbers, edits }) =>
    packed(numbers ? models.now.runNumbers(rows(numbers), edits) : models.now.run(tokens, edits)));
  window.heads = (given) => given.map((tokens) => packed(models.now.run(tokens).heads));
  window.tokenise = (texts) => texts.map((each) => models.now.tokenise(each));
  window.streamed = ({ tokens, numbers, edits, keep }) => {
    const stream = models.now.stream(edits);
    if (keep) stream.keep = keep;
    const feed = () => (numbers ? rows(numbers).forEach((row) => stream.step(row)) : tokens.forEach(stream.read));
    feed();
    stream.reset();
    feed();
    return packed(stream.run());
  };
  window.ask = (script) => packed(new Function("model", `return ${script}`)(models.now));
}
"""


@dataclass(frozen=True)
class Head:
    """The page's distribution at each step."""

    labels: tuple[str, ...]
    logits: Tensor
    probabilities: Tensor
    chosen: tuple[str, ...]


class Runtime:
    """A page in which one model at a time is loaded."""

    def __init__(self, page: Modules) -> None:
        self.page = page
        page.run(_DRIVER)

    def load(self, bundle: Bundle) -> None:
        """Load a model."""
        self.load_raw(json.dumps(bundle.head).encode(), bundle.weights)

    def load_raw(self, head: bytes, weights: bytes) -> None:
        """Load a bundle that may be damaged."""
        self.page.offer({"head": head, "weights": weights})
        self.page.run("() => load()")

    def run(
        self, tokens: Sequence[str] | None = None, edits: Sequence[hs.Edit] = (), numbers: Tensor | None = None
    ) -> dict[str, Any]:
        """Run over words, or numbers ``[T, C]``."""
        given = {"tokens": tokens, "edits": [as_data(edit) for edit in edits]}
        given["numbers"] = None if numbers is None else numbers.tolist()
        return unpacked(self.page.run("(given) => each([given])[0]", given))  # type: ignore[no-any-return]

    def heads(self, sentences: Sequence[Sequence[str]]) -> list[dict[str, Head]]:
        """The predictions for many sentences, by head."""
        found = unpacked(self.page.run("(given) => heads(given)", [list(each) for each in sentences]))
        return [{head["name"]: head_of(head) for head in heads} for heads in found]

    def tokenise(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the tokens of texts."""
        return self.page.run("(given) => tokenise(given)", list(texts))  # type: ignore[no-any-return]

    def stream(
        self,
        tokens: Sequence[str] | None = None,
        edits: Sequence[hs.Edit] = (),
        numbers: Tensor | None = None,
        keep: int = 0,
    ) -> dict[str, Any]:
        """The same, step by step: twice, with a reset between."""
        given = {"tokens": tokens, "edits": [as_data(edit) for edit in edits], "keep": keep}
        given["numbers"] = None if numbers is None else numbers.tolist()
        return unpacked(self.page.run("(given) => streamed(given)", given))  # type: ignore[no-any-return]

    def ask(self, script: str) -> Any:
        """Evaluate a JavaScript expression of ``model``."""
        return unpacked(self.page.run("(script) => ask(script)", script))

    @contextmanager
    def refuses(self, *words: str) -> Iterator[None]:
        """Expect a ModelError that says all of these."""
        with pytest.raises(Exception, match="ModelError") as caught:
            yield
        for word in words:
            assert word in str(caught.value)


@contextmanager
def opened() -> Iterator[Runtime]:
    """Open such a page."""
    with modules() as page:
        yield Runtime(page)


def as_data(edit: hs.Edit) -> dict[str, Any]:
    """Convert an edit to the page's format."""
    data = {name: value for name, value in asdict(edit).items() if name != "row"}
    for name in ("unit", "t"):
        if isinstance(data[name], int):
            data[name] = [data[name]]
    return data


def unpacked(value: Any) -> Any:
    """Unpack a value from the page: arrays become tensors."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"kind", "bytes"}:
        types = {"Float32Array": torch.float32, "Float64Array": torch.float64, "Int32Array": torch.int32}
        content = bytearray(base64.b64decode(value["bytes"]))
        return torch.frombuffer(content, dtype=types[value["kind"]]) if content else torch.empty(0)
    return {name: unpacked(each) for name, each in value.items()}


def head_of(head: Mapping[str, Any]) -> Head:
    """One head of a run."""
    labels, K = tuple(head["labels"]), len(head["labels"])
    chosen = tuple(labels[k] for k in head["chosen"].tolist())
    return Head(labels, head["logits"].view(-1, K), head["probabilities"].view(-1, K), chosen)


def values_of(run: Mapping[str, Any]) -> dict[str, Tensor]:
    """All values of a run by place, ``[T, H]``."""
    found = {}
    for track in run["tracks"]:
        for quantity, values in track["values"].items():
            found[f"{track['info']['name']}.{quantity}"] = values.view(run["steps"], -1)
    return found


def close(a: Tensor, b: Tensor, atol: float = ATOL, rtol: float = 0) -> None:
    """Check that the page's numbers equal Python's."""
    torch.testing.assert_close(a, b.detach().float(), rtol=rtol, atol=atol)
