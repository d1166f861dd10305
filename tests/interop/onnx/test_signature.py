"""Names, order and shapes of the inputs and outputs of an LSTM's ONNX model."""

from hiddenstate.interop.onnx.lstm import ModelValue, Signature
from hiddenstate.structure.sizes import Sizes

SIZES = Sizes(4, 3, 2, bidirectional=True)


def shapes(values: list[ModelValue]) -> dict[str, list[int | str]]:
    return {value.name: value.shape for value in values}


def test_a_sequence() -> None:
    states = {"h0": [4, "N", 3], "c0": [4, "N", 3]}
    assert shapes(Signature(SIZES).inputs()) == {"x": ["T", "N", 4], **states}
    assert shapes(Signature(SIZES).outputs()) == {"out": ["T", "N", 6], "h_n": [4, "N", 3], "c_n": [4, "N", 3]}
    ragged = Signature(SIZES, batch_first=True, lengths=True, states=False, T=7)
    assert shapes(ragged.inputs()) == {"x": ["N", 7, 4], "lengths": ["N"]}
    assert [value.whole for value in ragged.inputs()] == [False, True]
    assert shapes(ragged.outputs()) == {"out": ["N", 7, 6]}


def test_a_step_takes_what_it_gives() -> None:
    step = Signature(Sizes(4, 3, 2), "step", batch_first=True, N=1)
    assert shapes(step.inputs()) == {"x": [1, 4], "h": [2, 1, 3], "c": [2, 1, 3]}
    assert shapes(step.outputs()) == {"out": [1, 3], "h_n": [2, 1, 3], "c_n": [2, 1, 3]}
