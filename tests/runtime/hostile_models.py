"""One table of model files for all readers: hostile files, which are refused, and odd ones, which are read."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

import hiddenstate as hs
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu
from runtime.built import ROOT

Tensors = dict[str, Tensor]
Texts = dict[str, str]
Header = dict[str, Any]


def parts(module: Any, folder: Path) -> tuple[Tensors, Texts]:
    """Return the tensors and metadata of the file that `hs.save` writes."""
    path = folder / "whole.safetensors"
    hs.save(module, path)
    with safetensors.safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118


def packed(header: bytes | Header, data: bytes) -> bytes:
    """Return a safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def split(tensors: Tensors, metadata: Texts) -> tuple[Header, bytes]:
    """Return the header and the data of a safetensors file."""
    content = safetensors.torch.save(tensors, metadata)
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def modules() -> dict[str, Any]:
    """The layers whose files are changed; ``zero row`` is an int8 layer in which a scale is 0."""
    zero_row: Any = hs.LSTM(2, 3)
    with torch.no_grad():
        zero_row.weight_ih_l0[1] = 0
    return {
        "float32": hs.LSTM(2, 3, num_layers=2, proj_size=2),
        "bfloat16": hs.LSTM(2, 3).bfloat16(),
        "int8": hs.LSTM(2, 3).quantize(),
        "int8 of bfloat16": hs.LSTM(2, 32).bfloat16().quantize(),
        "zero row": zero_row.quantize(),
        "wide": hs.LSTM(2, 32).quantize(),
        "GRU": hs.GRU(2, 3, bidirectional=True),
        "RNN": hs.RNN(2, 3, nonlinearity="relu", bias=False),
        "batch_first": hs.LSTM(2, 3, batch_first=True),
    }


# Changes of metadata: of which layer, and which entries; None removes one.
METADATA: list[tuple[str, dict[str, str | None]]] = [
    *(("float32", {name: text}) for name, texts in {
        "num_layers": ("3000000", "4097", "3", "0", "2.0", "0x2", " 2", "2e0", "+2", "", "\uff12", "0" * 9 + "2", None),
        "hidden_size": ("4", "2", "99999999999999999999", "NaN"),
        "proj_size": ("3", "0", "1", None),
        "input_size": ("3", "0", "16777217", "[2]"),
        "bias": ("2", "", "true", "01", None),
        "bidirectional": ("2", "", "true", "01", None),
        "batch_first": ("2", "", "true", "01"),
        "gates": ("f i g o", "i f g", "i f g o ", "r z n", "i  f g o", None),
        "cell": ("GRU", "RNN_TANH", "lstm", "__proto__", "toString", None),
        "format": ("hiddenstate.model/2", None),
        "kind": ("tagger", "layers", None),
    }.items() for text in texts),
    ("GRU", {"proj_size": "1"}),
    ("GRU", {"gates": "z r n"}),
    ("GRU", {"bidirectional": "0"}),
    ("RNN", {"gates": "i"}),
]  # fmt: skip
METADATA_READ: list[tuple[str, dict[str, str | None]]] = [
    ("float32", {"batch_first": None}),
    ("float32", {"proj_size": "02", "more": "\0 \u20ac \U0001f600", "": ""}),
    ("RNN", {"cell": "RNN_TANH"}),
]


def with_number(name: str, value: float) -> Callable[[Tensors], None]:
    """Change the first number of a tensor."""

    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = value

    return change


def with_type(name: str, dtype: torch.dtype) -> Callable[[Tensors], None]:
    """Change the type of a tensor."""

    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].to(dtype)

    return change


SCALE = "weight_hh_l0_scale"
NOT_FINITE = (float("nan"), float("inf"), -float("inf"))
FLOATS = (torch.float16, torch.float64)


def infinite_product(tensors: Tensors) -> None:
    """Make weights of finite numbers whose products with their scales are infinite."""
    tensors[SCALE] = torch.full((12,), 3e38)
    tensors["weight_hh_l0"] = torch.full((12, 3), 127, dtype=torch.int8)


def all_of(dtype: torch.dtype) -> Callable[[Tensors], None]:
    """Change the type of all tensors."""

    def change(tensors: Tensors) -> None:
        tensors.update({name: value.to(dtype) for name, value in tensors.items()})

    return change


TENSORS: list[tuple[str, str, Callable[[Tensors], object]]] = [
    *((kind, f"a scale of {value}", with_number(SCALE, value))
      for kind in ("int8", "wide", "int8 of bfloat16") for value in (*NOT_FINITE, -1.0)),
    ("int8", "an infinite product", infinite_product),
    *(("float32", f"{name} of {value}", with_number(name, value))
      for name in ("weight_hh_l1", "bias_ih_l0", "weight_hr_l0") for value in NOT_FINITE),
    ("bfloat16", "a weight of nan", with_number("weight_hh_l0", float("nan"))),
    ("int8", "a bias of inf", with_number("bias_hh_l0", float("inf"))),
    *(("float32", f"all {dtype}", all_of(dtype)) for dtype in (*FLOATS, torch.int8)),
    *(("float32", f"one {dtype}", with_type("bias_ih_l0", dtype))
      for dtype in (*FLOATS, torch.bfloat16, torch.int8, torch.int64, torch.bool)),
    ("float32", "one int8 matrix", with_type("weight_ih_l0", torch.int8)),
    ("bfloat16", "one float32", with_type("bias_ih_l0", torch.float32)),
    *(("int8", f"scales of {dtype}", with_type(SCALE, dtype)) for dtype in (*FLOATS, torch.bfloat16, torch.int8)),
    ("int8", "biases of another type", with_type("bias_ih_l0", torch.bfloat16)),
    ("int8", "a float matrix", with_type("weight_hh_l0", torch.float32)),
    ("int8", "no scales", lambda t: t.pop(SCALE)),
    ("int8", "scales by another name", lambda t: t.update({"weight_hh_l0.scale": t.pop(SCALE)})),
    ("int8", "two kinds of scales", lambda t: t.update({"weight_hh_l0.scale": t[SCALE].clone()})),
    ("int8", "too many scales", lambda t: t.update({SCALE: torch.ones(13)})),
    ("int8", "a matrix of scales", lambda t: t.update({SCALE: torch.ones(12, 1)})),
    ("float32", "scales of floats", lambda t: t.update({SCALE: torch.ones(12)})),
    ("float32", "one tensor too many", lambda t: t.update(more=torch.ones(1))),
    ("float32", "an empty tensor too many", lambda t: t.update(more=torch.ones(0))),
    ("float32", "one tensor too few", lambda t: t.pop("bias_hh_l1")),
    ("float32", "no tensors", lambda t: t.clear()),
    ("float32", "another shape", lambda t: t.update(weight_ih_l0=t["weight_ih_l0"].T.contiguous())),
    ("float32", "another rank", lambda t: t.update(bias_ih_l0=t["bias_ih_l0"][:, None])),
]  # fmt: skip

# Changes of the header and the data.
FIRST, SECOND = "bias_hh_l0", "bias_ih_l0"


def with_offsets(header: Header, name: str, first: int, last: int) -> Header:
    """Move a tensor."""
    header[name] = {**header[name], "data_offsets": [first, last]}
    return header


def moved(header: Header, data: bytes) -> tuple[Header, bytes]:
    """Put two tensors at the same place; the data of one of them are then nobody's."""
    return with_offsets(header, FIRST, *header[SECOND]["data_offsets"]), data


def overlapping(header: Header, data: bytes) -> tuple[Header, bytes]:
    """Let each tensor begin inside the one before it, at the end of the data, which have one number too many."""
    first, last = header[SECOND]["data_offsets"]
    return with_offsets(header, SECOND, first + 4, last + 4), data + bytes(4)


def described(**change: Any) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    """Change the description of a tensor; None removes a part."""

    def altered(header: Header, data: bytes) -> tuple[Header, bytes]:
        description = {**header[FIRST], **change}
        return {**header, FIRST: {key: value for key, value in description.items() if value is not None}}, data

    return altered


def with_metadata(**more: Any) -> Callable[[Header, bytes], tuple[Header, bytes]]:
    """Add entries to the metadata."""
    return lambda header, data: ({**header, "__metadata__": {**header["__metadata__"], **more}}, data)


DESCRIPTIONS: list[dict[str, Any]] = [
    *({name: None} for name in ("dtype", "shape", "data_offsets")),
    *({"dtype": dtype} for dtype in ("F33", 1, "__proto__")),
    *({"shape": shape} for shape in ([-12], [1 << 32, 1 << 32], [0], "12", [1 << 63], [12.5], [1] * 9)),
    *({"data_offsets": offsets} for offsets in ([0], [48, 0], [-48, 0], [0, 48, 48], [1 << 63, (1 << 63) + 48])),
]
HEADERS: list[tuple[str, Callable[[Header, bytes], tuple[Header, bytes]]]] = [
    ("two tensors at one place", moved),
    ("overlapping tensors", overlapping),
    ("bytes after the tensors", lambda header, data: (header, data + bytes(8))),
    ("too few bytes", lambda header, data: (header, data[:-1])),
    ("no data", lambda header, _: (header, b"")),
    *((f"{change}", described(**change)) for change in DESCRIPTIONS),
    ("a tensor that is null", lambda header, data: ({**header, FIRST: None}, data)),
    ("metadata that are a list", lambda header, data: ({**header, "__metadata__": []}, data)),
    ("metadata that are numbers", with_metadata(bias=1)),
    ("nested metadata", with_metadata(more={})),
    ("too many metadata", with_metadata(**{str(k): "" for k in range(4097)})),
]


# Changes of the header's text.
def inserted(text: bytes) -> Callable[[bytes], bytes]:
    """Add a text among the metadata."""
    return lambda header: header.replace(b'"LSTM"', b'"LSTM", ' + text)


EMPTY = b'"bias_hh_l0": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, '
TEXTS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("invalid UTF-8 in a value", inserted(b'"more": "\xff"')),
    ("invalid UTF-8 in a key", inserted(b'"\xc3(": ""')),
    ("an encoded surrogate", inserted(b'"more": "\xed\xa0\x80"')),
    ("half of a surrogate pair", inserted(b'"more": "\\ud800"')),
    ("the other half, in a key", inserted(b'"\\udc00 ": ""')),
    ("a control character", inserted(b'"more": "\n"')),
    ("an unknown escape", inserted(b'"more": "\\q"')),
    ("a comma at the end", lambda text: text[:-1] + b",}"),
    ("something after it", lambda text: text + b"{}"),
    ("half of it", lambda text: text[: len(text) // 2]),
    ("no text", lambda _: b""),
    ("a list", lambda text: b"[" + text + b"]"),
    ("a tensor twice, the last without bytes", lambda text: text.replace(b'"weight_hh_l0"', EMPTY + b'"weight_hh_l0"')),
    ("a leading zero", lambda text: text.replace(b"[0, ", b"[00, ")),
    ("a million brackets", lambda _: b"[" * 1_000_000),
    ("a million objects", lambda _: b'{"a":' * 1_000_000),
    ("a million lists", lambda text: text[:-1] + b', "more": [' + b"[]," * 1_100_000 + b"1]}"),
]
TEXTS_READ: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("spaces", lambda text: text.replace(b": ", b" \n\t\r : ") + b"   \n"),
    ("escapes", lambda text: text.replace(b"LSTM", b"\\u004cSTM").replace(b"weight_ih_l0", b"\\u0077eight_ih_l0")),
    ("a surrogate pair", inserted(b'"more": "\\ud83d\\ude00"')),
    ("an entry twice", inserted(b'"cell": "LSTM"')),
    ("a tensor twice, the first without bytes", lambda text: b"{" + EMPTY + text[1:]),
    ("an unknown part of a description", lambda text: text.replace(b'"dtype"', b'"more": 1, "dtype"')),
]


HEAD, STEP = "head.weight.scale", "lstm.weight_hh_l0.scale"
TAGGERS: list[tuple[str, Callable[[Tensors], object]]] = [
    *((f"{name} of {value}", with_number(name, value)) for name in (HEAD, STEP) for value in (*NOT_FINITE, -1.0, 0.0)),
    *((f"{name} of {dtype}", with_type(name, dtype))
      for name in (HEAD, STEP) for dtype in (*FLOATS, torch.bfloat16, torch.int8)),
    *((f"no {name}", lambda t, name=name: t.pop(name)) for name in (HEAD, STEP, "head.weight", "head.bias")),
    *((f"{name} of {value}", with_number(name, value))
      for name in ("head.bias", "lstm.bias_ih_l0") for value in NOT_FINITE),
    ("a bias of int8", with_type("head.bias", torch.int8)),
    ("a tensor too many", lambda t: t.update(more=torch.ones(1))),
    ("a word too many", lambda t: t.update({"word_embedding.weight": torch.ones(1000, 3)})),
]  # fmt: skip


def small_tagger() -> Tagger:
    """Return a tagger with int8 weights."""
    sizes: dict[str, Any] = dict.fromkeys(("word_size", "char_size", "char_hidden_size", "hidden_size"), 3)
    sentences = read_conllu(ROOT / "tests" / "data" / "tiny-dev.conllu")
    return Tagger.build(TaggerConfig(**sizes, weights_dtype="int8"), sentences)


def taggers(folder: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Yield the name and the content of each file of a tagger, and whether it must be read."""
    whole = parts(small_tagger(), folder)
    yield "unchanged", packed(*split(*whole)), True
    for name, alter in TAGGERS:
        tensors = dict(whole[0])
        alter(tensors)
        yield name, packed(*split(tensors, whole[1])), False
    longer = json.loads(whole[1]["vocabulary"])
    longer["words"]["tokens"] += [f"word {k}" for k in range(10000)]
    yield "a long vocabulary", packed(*split(whole[0], {**whole[1], "vocabulary": json.dumps(longer)})), False


def layers(folder: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Yield the name and the content of each file of a layer, and whether it must be read."""
    whole = {kind: parts(module, folder) for kind, module in modules().items()}
    for kind, (tensors, metadata) in whole.items():
        yield f"{kind}: unchanged", packed(*split(tensors, metadata)), True
    for table, is_read in ((METADATA, False), (METADATA_READ, True)):
        for kind, change in table:
            tensors, metadata = whole[kind]
            texts = {name: text for name, text in {**metadata, **change}.items() if text is not None}
            yield f"{kind}: {change}", packed(*split(tensors, texts)), is_read
    for kind, name, alter in TENSORS:
        tensors, metadata = dict(whole[kind][0]), whole[kind][1]
        alter(tensors)
        yield f"{kind}: {name}", packed(*split(tensors, metadata)), False
    for name, edit in HEADERS:
        yield name, packed(*edit(*split(*whole["float32"]))), False
    header, data = split(*whole["float32"])
    for rows, is_read in ((TEXTS, False), (TEXTS_READ, True)):
        for name, rewrite in rows:
            yield name, packed(rewrite(json.dumps(header).encode()), data), is_read
    yield "fewer than eight bytes", bytes(7), False
    yield "a header longer than the file", b"\xff" * 8 + b"{}", False
