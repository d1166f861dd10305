import json
from dataclasses import asdict
from typing import Any

import pytest

from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.tagger.config import TaggerConfig


def test_with_texts() -> None:
    config = TaggerConfig().with_texts({"hidden_size": "32", "dropout": "0", "columns": "xpos,upos"})
    assert config == TaggerConfig(hidden_size=32, dropout=0.0, columns=("xpos", "upos"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wings": "2"}, "unknown setting 'wings'; the settings are epochs patience"),
        ({"epochs": "many"}, "epochs must be of type int, got 'many'"),
        ({"dropout": "1"}, "dropout must be below 1, got 1.0"),
        ({"learning_rate": "nan"}, "learning_rate must be above 0 and finite, got nan"),
        ({"seed": "-1"}, "seed must be at least 0"),
        ({"columns": "upos,form"}, "columns must be among upos xpos feats deprel lemma head deps misc, got 'form'"),
        ({"columns": "upos,upos"}, "columns must be one or more of upos .*, without repetition, got 'upos upos'"),
        ({"columns": ","}, "columns must be one or more of upos .*, got ''"),
    ],
)
def test_with_texts_fails(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        TaggerConfig().with_texts(settings)


def test_from_data() -> None:
    config = TaggerConfig(seed=7, learning_rate=1)
    assert TaggerConfig.from_data(json.loads(json.dumps(asdict(config)))) == config
    assert TaggerConfig.from_data({"seed": 7}) == TaggerConfig(seed=7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "must be an object, got NoneType"),
        ({"wings": 2}, "unknown field 'wings' in a model's config; remove it"),
        ({"seed": 1.5}, "seed must be of type int, got 1.5"),
        ({"seed": True}, "seed must be of type int, got True"),
        ({"dropout": "0.1"}, "dropout must be of type float, got '0.1'"),
        ({"weights_dtype": "int4"}, "weights_dtype must be one of float16 float32 int8, got 'int4'"),
    ],
)
def test_from_data_fails(data: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        TaggerConfig.from_data(data)
