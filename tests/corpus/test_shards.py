"""Shards cover a corpus, and a run that is killed anywhere is completed by the next."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import programs
from hiddenstate.corpus.shards import plan as planning
from hiddenstate.corpus.shards.contents import read_sentences, read_texts
from hiddenstate.corpus.shards.plan import Shard, expand, plan
from hiddenstate.corpus.shards.run import run
from hiddenstate.errors import ArgumentError, FileFormatError, RunInUseError
from hiddenstate.text.conllu import read_conllu, to_conllu

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Upper:
    """Writes a shard's text in capitals; a shard that holds a word fails."""

    fails_at: str = ""

    def name(self, shard: Shard) -> str:
        return f"{shard.number:05}.txt"

    def __call__(self, shard: Shard, place: Path) -> None:
        text = "".join(read_texts(shard))
        place.write_text(text[: len(text) // 2])  # killed here, half of it is there
        if self.fails_at and self.fails_at in text:
            raise KeyboardInterrupt
        place.write_text(text.upper())


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line {k} ä\n" for k in range(300)), encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 10**9])
@pytest.mark.parametrize("name", ["tiny-train.conllu", "odd.conllu"])
def test_the_shards_of_a_treebank_have_its_sentences(tmp_path: Path, size: int, name: str) -> None:
    for k, content in enumerate(((DATA / name).read_bytes(), (DATA / name).read_bytes().replace(b"\n", b"\r\n"))):
        path = tmp_path / f"{k}.conllu"
        path.write_bytes(content)
        shards = plan([path], shard_bytes=size)
        found = [sentence for shard in shards for sentence in read_sentences(shard)]
        assert to_conllu(found) == to_conllu(read_conllu(path))
        assert [shard.number for shard in shards] == list(range(len(shards)))
        assert shards[0].start == 0
        assert all(a.stop == b.start for a, b in pairwise(shards))


@pytest.mark.parametrize("size", [1, 50, 10**6])
def test_the_shards_of_a_text_have_its_lines(text: Path, size: int) -> None:
    shards = plan([text], shard_bytes=size)
    assert "".join(part for shard in shards for part in read_texts(shard)) == text.read_text(encoding="utf-8")
    words = [sentence.forms for shard in shards for sentence in read_sentences(shard)]
    assert words == [("line", str(k), "ä") for k in range(300)]


def test_globs_and_files_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c[1].txt"):
        (tmp_path / name).write_text("x\n")
    assert [path.name for path in expand([str(tmp_path / "?.txt"), tmp_path / "c[1].txt"])] == [
        "a.txt",
        "b.txt",
        "c[1].txt",
    ]
    with pytest.raises(ArgumentError, match="no file matches"):
        expand(str(tmp_path / "*.conllu"))


def test_a_text_without_line_ends_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "LONGEST", 1 << 17)
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * (1 << 19))
    with pytest.raises(FileFormatError, match="no line ends within 64 MiB"):
        plan([path], shard_bytes=10)


def test_parquet_has_a_shard_for_each_row_group(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": ["One sentence. Another one.", None, "Third"], "n": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    shards = plan([tmp_path / "a.parquet"])
    found = [[sentence.forms for sentence in read_sentences(shard)] for shard in shards]
    assert found == [[("One", "sentence", "."), ("Another", "one", ".")], [("Third",)]]
    words = pyarrow.table({"text": [["a", "b"], ["c"]]})
    parquet.write_table(words, tmp_path / "b.parquet")
    assert [s.forms for shard in plan([tmp_path / "b.parquet"]) for s in read_sentences(shard)] == [("a", "b"), ("c",)]
    with pytest.raises(FileFormatError, match="there is no column 'x'; the columns are text"):
        plan([tmp_path / "b.parquet"], column="x")
    parquet.write_table(table.select(["n"]).rename_columns(["text"]), tmp_path / "c.parquet")
    with pytest.raises(FileFormatError, match="has a value of <class 'int'>; give texts or lists of words"):
        list(read_sentences(plan([tmp_path / "c.parquet"])[0]))
    whole = (tmp_path / "a.parquet").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "a.parquet").write_bytes(whole[:cut])
        with pytest.raises(FileFormatError, match="a.parquet"):
            plan([tmp_path / "a.parquet"])


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.lock"}


def test_an_interrupted_run_is_completed_and_nothing_is_done_again(tmp_path: Path, text: Path) -> None:
    shards, folder, reports = plan([text], shard_bytes=200), tmp_path / "out", list[tuple[int, int]]()
    with pytest.raises(KeyboardInterrupt):
        run(Upper("line 150"), shards, folder, {"kind": "upper"})
    there = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.txt")}
    assert 0 < len(there) < len(shards)
    assert not list(folder.glob(".*.partial"))
    (folder / ".00099.txt.abc.partial").write_text("left by a killed run")
    written = run(Upper(), shards, folder, {"kind": "upper"}, progress=lambda done, n: reports.append((done, n)))
    assert written == len(shards) - len(there)
    assert run(Upper(), shards, folder, {"kind": "upper"}) == 0
    assert "".join(part.read_text() for part in sorted(folder.glob("*.txt"))) == text.read_text().upper()
    assert {name: (folder / name).stat().st_mtime_ns for name in there} == there
    assert reports[-1] == (text.stat().st_size,) * 2
    assert len(reports) == len(shards) - len(there)
    assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize("name", ["00000.txt", "manifest.json"])
def test_a_link_in_the_folder_is_not_written_through(tmp_path: Path, text: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "out" / name).symlink_to(outside)
    with pytest.raises((ArgumentError, FileFormatError)):
        run(Upper(), plan([text], shard_bytes=200), tmp_path / "out", {"kind": "upper"})
    assert outside.read_text() == "mine"


def test_a_run_that_was_killed_while_it_wrote_its_manifest_goes_on(tmp_path: Path, text: Path) -> None:
    out, shards = tmp_path / "out", plan([text], shard_bytes=200)
    out.mkdir()
    (out / ".manifest.json.0123abcd.part").write_text("{")
    run(Upper(), shards, out, {"kind": "upper"})
    assert not [*out.glob(".*.part")]
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "download.part").write_text("not ours")
    with pytest.raises(ArgumentError, match=r"holds 'download.part' and no manifest.json"):
        run(Upper(), shards, foreign, {"kind": "upper"})
    assert (foreign / "download.part").exists()


def test_results_of_something_else_are_not_mixed(tmp_path: Path, text: Path) -> None:
    shards = plan([text], shard_bytes=200)
    run(Upper(), shards, tmp_path / "out", {"kind": "upper", "model": "a"})
    with pytest.raises(ArgumentError, match="differ in model"):
        run(Upper(), shards, tmp_path / "out", {"kind": "upper", "model": "b"})
    with pytest.raises(ArgumentError, match="differ in shards"):
        run(Upper(), plan([text], shard_bytes=100), tmp_path / "out", {"kind": "upper", "model": "a"})


PROGRAM = """
import sys
from pathlib import Path
from typing import Any
sys.path.insert(0, {tests!r})
from corpus.test_shards import Slow
from hiddenstate.corpus.shards.plan import plan
from hiddenstate.corpus.shards.run import run
if __name__ == "__main__":
    run(Slow(), plan([Path({text!r})], shard_bytes=200), Path({out!r}), {{"kind": "upper"}}, workers={workers})
"""


@dataclass(frozen=True)
class Slow(Upper):
    """Takes a while."""

    def __call__(self, shard: Shard, place: Path) -> None:
        time.sleep(0.1)
        super().__call__(shard, place)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_process_loses_only_the_shards_at_work(tmp_path: Path, text: Path) -> None:
    out = tmp_path / "out"
    given = {"tests": str(Path(__file__).parents[1]), "text": str(text), "out": str(out), "workers": 1}
    process = programs.Popen([sys.executable, "-c", PROGRAM.format(**given)])
    deadline = time.monotonic() + 300
    while len(list(out.glob("*.txt"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    shards = plan([text], shard_bytes=200)
    assert 3 <= len(list(out.glob("*.txt"))) < len(shards)
    run(Upper(), shards, out, {"kind": "upper"})
    run(Upper(), shards, tmp_path / "whole", {"kind": "upper"})
    assert results(out) == results(tmp_path / "whole")


@dataclass(frozen=True)
class Dies(Upper):
    """Kills its process at one shard."""

    def __call__(self, shard: Shard, place: Path) -> None:
        if shard.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__call__(shard, place)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_dies_is_reported_and_the_next_run_goes_on(tmp_path: Path, text: Path) -> None:
    shards, out = plan([text], shard_bytes=1000), tmp_path / "out"
    with pytest.raises(RunInUseError, match="a worker process died"):
        run(Dies(), shards, out, {"kind": "upper"}, workers=2)
    run(Upper(), shards, out, {"kind": "upper"})
    run(Upper(), shards, tmp_path / "whole", {"kind": "upper"})
    assert results(out) == results(tmp_path / "whole")


@dataclass(frozen=True)
class DiesOnce(Upper):
    """Kills its process at one shard, the first time."""

    mark: str = ""

    def __call__(self, shard: Shard, place: Path) -> None:
        if shard.number == 2 and not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().__call__(shard, place)


CLIENT = """
import sys
from pathlib import Path
import distributed
from corpus.test_shards import Slow, Upper
from hiddenstate.corpus.shards.plan import plan
from hiddenstate.corpus.shards.run import run
address, text, out = sys.argv[1:]
with distributed.Client(address) as client:
    run(Slow(), plan([Path(text)], shard_bytes=200), Path(out), {"kind": "upper"}, client=client)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_dask_goes_on_without_a_worker_and_after_its_client(tmp_path: Path, text: Path) -> None:
    distributed = pytest.importorskip("distributed")
    shards, out = plan([text], shard_bytes=200), tmp_path / "out"
    run(Upper(), shards, tmp_path / "whole", {"kind": "upper"})
    wanted = results(tmp_path / "whole")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster:
        command = [sys.executable, "-c", CLIENT, cluster.scheduler_address, str(text), str(out)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DATA.parent), *sys.path])}
        with subprocess.Popen(command, env=environment) as process:
            while len(list(out.glob("*.txt"))) < 3:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        assert 3 <= len(list(out.glob("*.txt"))) < len(shards)
        with distributed.Client(cluster) as client:
            run(Slow(), shards, out, {"kind": "upper"}, client=client)
            assert results(out) == wanted
            dying = DiesOnce(mark=str(tmp_path / "mark"))
            run(dying, shards, tmp_path / "again", {"kind": "upper"}, client=client)
        assert Path(dying.mark).exists()
        assert results(tmp_path / "again") == wanted


def test_dask_gives_the_same_result(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.chdir(text.parent)
    shards = plan([Path(text.name)], shard_bytes=400)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        submit, sent = client.submit, list[tuple[Any, ...]]()

        def recorded(*given: Any, **options: Any) -> Any:
            sent.append(given)
            return submit(*given, **options)

        client.submit = recorded
        run(Upper(), shards, Path(os.path.relpath(tmp_path / "two")), {"kind": "upper"}, client=client)
        assert sent
        assert all(Path(shard.path).is_absolute() and folder.is_absolute() for *_, shard, folder in sent)
    run(Upper(), shards, tmp_path / "one", {"kind": "upper"})
    assert results(tmp_path / "one") == results(tmp_path / "two")
