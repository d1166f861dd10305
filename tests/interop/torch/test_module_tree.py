"""A model's modules, and copies that share its tensors."""

import threading
from typing import Any

import pytest
import torch
from torch import nn

from hiddenstate.errors import ArgumentError
from hiddenstate.interop.torch.conversion import modules_by_path, sharing_copy
from hiddenstate.tracing.watch import hidden_modules


def test_modules_with_all_their_paths() -> None:
    shared = nn.Linear(1, 1)
    model = nn.Sequential(shared, nn.Sequential(shared))
    assert modules_by_path(model) == [(("",), model), (("0", "1.0"), shared), (("1",), model[1])]


def test_hidden_modules() -> None:
    model: Any = nn.Sequential(nn.Sequential())
    one, two, three, four = (nn.Linear(1, 1) for _ in range(4))
    model.kept = [one, (two, {"key": nn.Sequential(three)})]
    model[0].__dict__["aside"] = four
    model.again = [model[0], one, "text", torch.ones(1)]  # known already
    model.loop = []
    model.loop.append(model.loop)
    found = dict(hidden_modules(model))
    assert list(found) == ["kept[0]", "kept[1][0]", "kept[1][1]['key']", "kept[1][1]['key'].0", "0.aside"]
    assert list(found.values()) == [one, two, model.kept[1][1]["key"], three, four]
    assert list(hidden_modules(nn.LSTM(2, 2))) == []


def test_a_copy_shares_tensors_and_nothing_else() -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2))
    model.register_buffer("count", torch.ones(1), persistent=False)
    result = model(torch.ones(1, 2))
    model.kept = {"results": [result, (result, torch.ones(1))], "hidden": [nn.Linear(1, 1)]}
    copied: Any = sharing_copy(model)
    assert copied is not model
    assert copied[0] is not model[0]
    assert copied[0].weight is model[0].weight
    assert copied.count is model.count
    assert copied.kept["results"][1][0] is result
    assert copied.kept["results"][1][1] is model.kept["results"][1][1]
    assert copied.kept["hidden"][0] is not model.kept["hidden"][0]
    assert copied.kept["hidden"][0].weight is model.kept["hidden"][0].weight


def test_what_cannot_be_copied_fails() -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2))
    model.lock = threading.Lock()
    with pytest.raises(ArgumentError, match=r"Sequential can't be copied \(TypeError: .*lock.*\): convert it in place"):
        sharing_copy(model)


class OfItsOwn(nn.Linear):
    def __deepcopy__(self, memo: Any) -> "OfItsOwn":
        return OfItsOwn(self.in_features, self.out_features)


def test_what_copies_its_tensors_fails() -> None:
    with pytest.raises(ArgumentError, match="Sequential would not share '0.weight': convert it in place"):
        sharing_copy(nn.Sequential(OfItsOwn(2, 2)))
