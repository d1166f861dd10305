"""Incomplete or inconsistent bundles: errors give the problem, the expected value, and what to do."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from hiddenstate.models.model_folder import quantised, restored
from language_models import make as make_language_model
from studio.bundles import Bundle, bundle_of
from studio.runtime.driver import Runtime
from studio.runtime.test_plain import LSTMS
from studio.runtime.test_plain import make as make_lstm
from studio.runtime.test_tagger import make as make_tagger

Head = dict[str, Any]


def load(runtime: Runtime, head: Any, weights: bytes) -> None:
    runtime.load_raw(json.dumps(head).encode(), weights)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundle_of(make_tagger(crf=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "torch"}, ["torch", "hiddenstate-studio"]),
        ({"version": 2}, ["version 2", "at most 1", "Upgrade"]),
        ({"version": "1"}, ["positive integer"]),
        ({"version": 0}, ["positive integer"]),
        ({"kind": "translator"}, ["translator", "tagger language-model series-model layer trace"]),
        ({"kind": "toString"}, ["toString"]),
        ({"cell": "QRNN"}, ["QRNN", "LSTM GRU RNN_TANH RNN_RELU"]),
        ({"cells": None}, ["a cell", "LSTM"]),
        ({"cells": {"LSTM": {"gates": ["i", "f", "g"], "states": ["c", "h"]}}}, ["gates"]),
        ({"cells": {"LSTM": {"gates": ["i", "f", "g", "x"], "states": ["c", "h"]}}}, ["gates"]),
        ({"cells": {"LSTM": {"gates": None, "states": ["c", "h"]}}}, ["gates"]),
        ({"cells": {"LSTM": {"gates": ["i", "f", "g", "o"], "states": ["h"]}}}, ["states"]),
        ({"cells": {"LSTM": {"gates": ["i", "f", "g", "o"], "states": 5}}}, ["states"]),
        ({"config": None}, ["config"]),
        ({"vocabulary": None}, ["words"]),
    ],
)
def test_heads_fail(runtime: Runtime, bundle: Bundle, change: Head, words: list[str]) -> None:
    with runtime.refuses(*words):
        load(runtime, {**bundle.head, **change}, bundle.weights)


@pytest.mark.parametrize("head", [None, [], "tagger", 1, {}])
def test_what_is_no_head_fails(runtime: Runtime, bundle: Bundle, head: Any) -> None:
    with runtime.refuses("hiddenstate-studio"):
        load(runtime, head, bundle.weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": 7}, ["lstm.weight_ih_l0 has shape [24, 11]", "expected [28, 11]"]),
        ({"hidden_size": 0}, ["hidden_size = 0"]),
        ({"hidden_size": "6"}, ["hidden_size"]),
        ({"num_layers": 3}, ["lstm.weight_ih_l2 is missing"]),
        ({"num_layers": 1}, ["is unexpected"]),
        ({"columns": ["xpos"]}, ["tags of xpos"]),
        ({"columns": "upos"}, ["columns"]),
        ({"crf": False}, ["chains.upos", "is unexpected"]),
        ({"crf": "yes"}, ["crf", "true or false"]),
        ({"max_chars": 1}, ["max_chars = 1", "at least 2"]),
        ({"word_size": 10**7}, ["word_embedding.weight has shape"]),
    ],
)
def test_configs_of_taggers_fail(runtime: Runtime, bundle: Bundle, change: Head, words: list[str]) -> None:
    config = {**bundle.head["config"], **change}
    with runtime.refuses(*words):
        load(runtime, {**bundle.head, "config": config}, bundle.weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"words": {"tokens": ["a"]}}, ["word_embedding.weight has shape [9, 5]", "expected [3, 5]"]),
        ({"words": {"tokens": ["a", "a"]}}, ["words", "duplicates"]),
        ({"words": {"tokens": [1]}}, ["words"]),
        ({"tags": {"upos": ["ADJ"]}}, ["shape"]),
        ({"tags": 3}, ["tags of upos"]),
        ({"temperatures": {"upos": 0}}, ["temperature of upos is 0", "above 0"]),
        ({"temperatures": {}}, ["temperature"]),
        ({"context": {"forward": {}}}, ["level"]),
    ],
)
def test_vocabularies_of_taggers_fail(runtime: Runtime, bundle: Bundle, change: Head, words: list[str]) -> None:
    vocabulary = {**bundle.head["vocabulary"], **change}
    with runtime.refuses(*words):
        load(runtime, {**bundle.head, "vocabulary": vocabulary}, bundle.weights)


@pytest.mark.parametrize(
    ("config", "vocabulary", "words"),
    [
        ({"level": "syllable"}, {}, ["syllable", "char or word"]),
        ({"level": "word"}, {}, ["tokens of level", "word"]),
        ({"tied": 1}, {}, ["tied", "true or false"]),
        ({"cutoffs": [5, 3]}, {}, ["cutoffs = [5,3]", "rising"]),
        ({"cutoffs": [99999]}, {}, ["below"]),
        ({"cutoffs": [3], "cutoff_factor": 0.5}, {}, ["cutoff_factor"]),
        ({}, {"tokens": ["a", "<unk>"]}, ["<unk>"]),
        ({}, {"tokens": None}, ["tokens"]),
    ],
)
def test_language_models_fail(runtime: Runtime, config: Head, vocabulary: Head, words: list[str]) -> None:
    whole = bundle_of(make_language_model())
    parts = {"config": config, "vocabulary": vocabulary}
    head = {**whole.head, **{name: {**whole.head[name], **change} for name, change in parts.items()}}
    with runtime.refuses(*words):
        load(runtime, head, whole.weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": False}, ["bias_hh_l0", "is unexpected"]),
        ({"proj_size": -1}, ["proj_size"]),
        ({"input_size": 0}, ["input_size"]),
        ({"num_layers": 2**40}, ["num_layers", "16777216"]),
        ({"bidirectional": True}, ["weight_ih_l0_reverse is missing"]),
    ],
)
def test_lstms_fail(runtime: Runtime, change: Head, words: list[str]) -> None:
    whole = bundle_of(make_lstm(**LSTMS["plain"]))
    with runtime.refuses(*words):
        load(runtime, {**whole.head, "config": {**whole.head["config"], **change}}, whole.weights)


def test_given_numbers_fail(runtime: Runtime) -> None:
    whole = bundle_of(make_lstm(**LSTMS["plain"]), {"input": torch.ones(2, 4)})
    with runtime.refuses("given.input has shape [2, 4]", "expected [3, 4]"):
        load(runtime, {**whole.head, "given": {"steps": 3, "tokens": None}}, whole.weights)
    with runtime.refuses("steps"):
        load(runtime, {**whole.head, "given": None}, whole.weights)


def changed(weights: bytes, change: Callable[[dict[str, Tensor]], object]) -> bytes:
    tensors = safetensors.torch.load(weights)
    change(tensors)
    return safetensors.torch.save(tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("head.bias"), ["head.bias is missing"]),
        (lambda t: t.update(more=torch.ones(1)), ["more is unexpected"]),
        (lambda t: t.update({"head.bias": torch.ones(4)}), ["head.bias has shape [4]", "[3]"]),
        (lambda t: t.update({"head.bias": torch.ones(3, 1)}), ["head.bias has shape [3, 1]"]),
        (lambda t: t["head.bias"].fill_(float("nan")), ["head.bias", "not finite"]),
        (lambda t: t["lstm.weight_hh_l1"][3, 2].fill_(float("inf")), ["lstm.weight_hh_l1", "not finite"]),
        (lambda t: t.update({"head.bias": torch.ones(3, dtype=torch.int64)}), ["head.bias", "I64", "F16 BF16 F32 F64"]),
    ],
)
def test_weights_fail(runtime: Runtime, bundle: Bundle, change: Any, words: list[str]) -> None:
    with runtime.refuses(*words):
        load(runtime, bundle.head, changed(bundle.weights, change))


@pytest.fixture(scope="module")
def whole_numbers() -> Bundle:
    """A tagger whose matrices are whole numbers times the scales of their rows."""
    tagger = make_tagger()
    for weight in tagger.parameters():
        if weight.ndim > 1:
            weight.data = restored(*quantised(weight.data))
    return bundle_of(tagger)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda t: t.pop("head.weight.scale"),
            ["head.weight holds numbers of type I8", "head.weight.scale is missing"],
        ),
        (lambda t: t.pop("head.weight"), ["head.weight is missing"]),
        (lambda t: t["head.weight.scale"].fill_(float("nan")), ["head.weight.scale", "not finite"]),
        (lambda t: t["head.weight.scale"][:1].fill_(float("inf")), ["head.weight.scale", "not finite"]),
        (lambda t: t["head.weight.scale"][:1].fill_(-1), ["head.weight.scale", "not positive"]),
        (lambda t: t["head.weight.scale"][:1].fill_(0), ["head.weight.scale", "not positive"]),
        (lambda t: t["head.weight.scale"].fill_(3e38), ["head.weight", "not finite"]),
        (
            lambda t: t.update({"head.weight.scale": torch.ones(4)}),
            ["head.weight.scale has type F32 and shape [4]", "[3]"],
        ),
        (lambda t: t.update({"head.weight.scale": torch.ones(3, 1)}), ["head.weight.scale", "shape [3,1]"]),
        (lambda t: t.update({"head.weight.scale": torch.ones(3).half()}), ["head.weight.scale has type F16"]),
        (lambda t: t.update({"head.bias": torch.ones(3).to(torch.int8)}), ["head.bias of shape [3]", "I8", "a matrix"]),
        (lambda t: t.update({"head.bias.scale": torch.ones(3)}), ["head.bias.scale is unexpected"]),
    ],
)
def test_whole_numbers_fail(runtime: Runtime, whole_numbers: Bundle, change: Any, words: list[str]) -> None:
    with runtime.refuses(*words):
        load(runtime, whole_numbers.head, changed(whole_numbers.weights, change))


def test_whole_numbers_are_read_as_python_reads_them(runtime: Runtime) -> None:
    matrices = {
        f"m{k}": torch.randn(shape) * 10.0**k for k, shape in enumerate([(1, 1), (17, 3), (3, 65), (2, 3, 5)], -2)
    }
    stored = {}
    for name, value in matrices.items():
        stored[name], stored[f"{name}.scale"] = quantised(value)
    runtime.page.offer({"weights": safetensors.torch.save(stored)})
    found = runtime.page.run("""async () => {
      const { read } = await import("studio/runtime/safetensors.js");
      const tensors = read(await (await fetch("/files/weights")).arrayBuffer());
      return Object.fromEntries([...tensors].map(([name, { shape, data }]) => [name, [shape, Array.from(data)]]));
    }""")
    assert found.keys() == matrices.keys()
    for name, (shape, data) in found.items():
        expected = restored(stored[name], stored[f"{name}.scale"])
        assert torch.equal(torch.tensor(data, dtype=torch.float32).reshape(shape), expected)


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 2000, -1])
def test_truncated_weights_fail(runtime: Runtime, bundle: Bundle, kept: int) -> None:
    with runtime.refuses("the weights end after", "download it again"):
        load(runtime, bundle.head, bundle.weights[:kept])


def safetensors_file(header: Any, numbers: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def tensor(**change: Any) -> bytes:
    return safetensors_file({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **change}}, bytes(4))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"\xff" * 8 + b"{}", ["inside their header"]),
        (safetensors_file(b"not JSON"), ["not JSON"]),
        (safetensors_file(b"\xff\xfe"), ["not JSON"]),
        (safetensors_file([]), ["not an object"]),
        (safetensors_file({"a": None}), ["a has no shape"]),
        (tensor(shape=[-1]), ["no shape"]),
        (tensor(shape="1"), ["no shape"]),
        (tensor(shape=[2**53]), ["no shape"]),
        (tensor(shape=[2**52, 2**52]), ["bytes"]),
        (tensor(shape=[2]), ["4 bytes", "expected 8"]),
        (tensor(data_offsets=[4, 0]), ["no shape or place"]),
        (tensor(data_offsets=[0, 4, 8]), ["no shape or place"]),
        (tensor(data_offsets=[4, 8]), ["end after"]),
        (tensor(dtype="__proto__"), ["of type __proto__"]),
    ],
)
def test_safetensors_fail(runtime: Runtime, bundle: Bundle, weights: bytes, words: list[str]) -> None:
    with runtime.refuses(*words):
        load(runtime, bundle.head, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types_of_numbers(runtime: Runtime, dtype: torch.dtype) -> None:
    special = [0.0, -0.0, 1.0, -2.5, 6e-8, 1e-7, 2.0**-14, 65504.0, float("inf"), float("-inf"), float("nan")]
    values = torch.cat([torch.tensor(special), torch.randn(500) * 10 ** torch.randint(-6, 4, (500,))]).to(dtype)
    runtime.page.offer({"weights": safetensors.torch.save({"a": values, "empty": torch.empty(0, 3)})})
    found = runtime.page.run("""async () => {
      const { read } = await import("studio/runtime/safetensors.js");
      const tensors = read(await (await fetch("/files/weights")).arrayBuffer());
      return [Array.from(tensors.get("a").data, String), tensors.get("a").shape, tensors.get("empty").shape];
    }""")
    read = torch.tensor([float(text) for text in found[0]], dtype=torch.float32)
    torch.testing.assert_close(read, values.float(), rtol=0, atol=0, equal_nan=True)
    assert found[1:] == [[511], [0, 3]]


def test_rounding_to_halves(runtime: Runtime) -> None:
    ties = [k * 2.0**-11 + 2.0**-12 for k in range(-40, 40)] + [2.0**-25, 3 * 2.0**-25, 2.0**-14 + 2.0**-25]
    values = torch.cat([torch.tensor(ties), torch.randn(3000), torch.randn(1000) * 1e-5, torch.tensor([0.0, 65503.0])])
    found = runtime.page.run(
        """async (values) => {
          const { roundToHalf } = await import("studio/runtime/half.js");
          return Array.from(Float32Array.from(values), roundToHalf);
        }""",
        values.tolist(),
    )
    torch.testing.assert_close(torch.tensor(found), values.half().float(), rtol=0, atol=0)
