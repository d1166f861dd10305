import json

from hiddenstate.cells.gru import GRU
from hiddenstate.studio.bundles.bundle import Bundle, InputSteps, assign_ids


def test_head() -> None:
    bundle = Bundle("layer", "ours", {"input_size": 4}, b"weights", given=InputSteps(2, ["a", "é"]), cell=GRU)
    head = json.loads(bundle.head_bytes())
    assert head["cell"] == "GRU"
    assert head["cells"]["GRU"] == {"gates": ["r", "z", "n"], "states": ["h"]}
    assert head["cells"]["LSTM"] == {"gates": ["i", "f", "g", "o"], "states": ["c", "h"]}
    assert head["meanings"] == GRU.meanings
    assert (head["kind"], head["name"], head["config"]) == ("layer", "ours", {"input_size": 4})
    assert head["given"] == {"steps": 2, "tokens": ["a", "é"]}
    assert head["vocabulary"] is None
    assert head["tokeniser"] is None  # a model without words needs none


def test_head_of_a_model_with_words() -> None:
    head = Bundle("tagger", "t", {}, b"", vocabulary={"words": {}}).head()
    assert head["tokeniser"]["piece"]
    assert "about" not in head["tokeniser"]  # what the page does not read
    assert head["given"] is None


def test_repr_shows_no_weights() -> None:
    assert repr(Bundle("layer", "ours", {}, b"weights")) == "Bundle(kind='layer', name='ours', given=None)"


def test_ids() -> None:
    names = ["Tagger EN", "tagger-en", "tagger.en", "<script>", "戦", "", "x" * 100, "../../etc"]
    found = assign_ids([Bundle("layer", name, {}, b"") for name in names])
    assert list(found) == ["tagger-en", "tagger-en-2", "tagger-en-3", "script", "layer", "layer-2", "x" * 60, "etc"]
    assert [bundle.name for bundle in found.values()] == names
