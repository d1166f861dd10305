"""A corpus tagged in shards: the tags and probabilities of the tagger itself, whatever ran before in the process."""

import pickle
import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

import hiddenstate as hs
from hiddenstate.corpus.shards.plan import Shard, plan
from hiddenstate.corpus.tasks import TagShards
from hiddenstate.engine import kernels
from hiddenstate.models.tagger.config import TaggerConfig
from hiddenstate.models.tagger.tagger import Tagger
from hiddenstate.text.conllu import read_conllu, to_conllu, with_tags

TEXT = Path(__file__).parents[1] / "data" / "tiny-train.conllu"


@pytest.fixture(params=[False, True])
def tagger(request: Any) -> Tagger:
    torch.manual_seed(0)
    config = TaggerConfig(columns=("upos", "xpos"), hidden_size=5, char_hidden_size=20, crf=request.param)
    return Tagger.build(config, read_conllu(TEXT)).eval()


def written(task: TagShards, shards: list[Shard], folder: Path) -> list[bytes]:
    """Each shard's file."""
    folder.mkdir()
    for shard in shards:
        task(shard, folder / task.name(shard))
    return [(folder / task.name(shard)).read_bytes() for shard in shards]


def test_tags_are_those_of_the_tagger(tagger: Tagger, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    sentences = read_conllu(TEXT)
    taggings = tagger.tag([sentence.forms for sentence in sentences])
    for is_parquet in (True, False):
        written(TagShards(tagger, is_parquet), plan([TEXT]), tmp_path / str(is_parquet))
    table = parquet.read_table(tmp_path / "True" / "part-00000.parquet").to_pydict()
    assert table["words"] == [list(sentence.forms) for sentence in sentences]
    for column in ("upos", "xpos"):
        tags = [tagging.columns[column] for tagging in taggings]
        assert table[column] == [list(each.tags) for each in tags]
        for found, each in zip(table[f"{column}_probability"], tags, strict=True):
            numbers = torch.tensor([each.names.index(tag) for tag in each.tags], dtype=torch.int64)
            torch.testing.assert_close(
                torch.tensor(found), each.probabilities.gather(1, numbers[:, None])[:, 0], check_dtype=False
            )
    filled = [
        with_tags(with_tags(sentence, each.tags), each.columns["xpos"].tags, None, "xpos")
        for sentence, each in zip(sentences, taggings, strict=True)
    ]
    assert (tmp_path / "False" / "part-00000.conllu").read_text(encoding="utf-8") == to_conllu(filled)


@pytest.mark.parametrize("is_native", [True, False])
def test_a_shard_does_not_depend_on_the_shards_before(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_native: bool
) -> None:
    if not is_native:
        monkeypatch.setattr(kernels, "serves", lambda _: False)
    words = ["".join(random.choices("abcdeé-", k=random.randint(1, 20))) for _ in range(600)]
    text = tmp_path / "words.tokens"
    text.write_text("".join(f"{' '.join(words[k : k + 6])}\n" for k in range(0, 600, 6)), encoding="utf-8")
    shards = plan([text], shard_bytes=500)
    assert len(shards) > 2
    with nullcontext() if is_native else hs.backend("reference"):
        forward = written(TagShards(tagger), shards, tmp_path / "forward")
        assert written(TagShards(tagger), shards[::-1], tmp_path / "backward")[::-1] == forward
        used = TagShards(tagger)
        written(used, shards[:1], tmp_path / "first")
        assert written(pickle.loads(pickle.dumps(used)), shards, tmp_path / "copied") == forward


def test_shards_without_words_have_the_same_columns(tagger: Tagger, tmp_path: Path) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    (tmp_path / "empty.tokens").write_text("\n\n", encoding="utf-8")
    (tmp_path / "some.tokens").write_text("one two\n", encoding="utf-8")
    shards = plan([tmp_path / "empty.tokens", tmp_path / "some.tokens"])
    written(TagShards(tagger), shards, tmp_path / "out")
    assert dataset.dataset(tmp_path / "out").to_table().to_pydict()["words"] == [["one", "two"]]
