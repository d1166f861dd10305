import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hiddenstate.cli import app
from hiddenstate.cli.language import PAUSE, write_slowly
from hiddenstate.errors import ArgumentError, FileFormatError
from hiddenstate.models.language.sampling import Sampling
from hiddenstate.models.model_folder import load_language_model, save
from language_models import make


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(make(), folder / "char")
    save(make(level="word"), folder / "word")
    save(make(backward=True), folder / "backward")
    return folder


def run(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)], input=given)


@pytest.mark.parametrize("kind", ["char", "word"])
def test_generate(models: Path, kind: str) -> None:
    options = ("--temperature", "0.8", "--top-k", "5", "--top-p", "0.9", "--seed", "3", "--unknown")
    result = run("--model", models / kind, "--prompt", "the cat", "--length", "25", *options)
    assert result.exit_code == 0, result.output
    model, sampling = load_language_model(models / kind), Sampling(0.8, 5, 0.9, 3, unknown=True)
    assert result.stdout == "the cat" + "".join(model.generate("the cat", 25, sampling)) + "\n"
    assert result.stderr == ""
    assert run("--model", models / kind, "--prompt", "the cat", "--length", "25", *options).stdout == result.stdout


def test_many_samples(models: Path) -> None:
    result = run("--model", models / "char", "--prompt", "so", "--length", "9", "--samples", "3", "--precision", "bf16")
    texts = load_language_model(models / "char").generate_many("so", 9, 3, precision="bf16")
    assert result.stdout == "".join(f"--- {k}\nso{text}\n" for k, text in enumerate(texts, 1))


def test_prompt_from_standard_input(models: Path) -> None:
    arguments = ("--model", models / "char", "--length", "9", "--top-k", "1")
    assert run(*arguments, "--prompt", "-", given="the\n").stdout == run(*arguments, "--prompt", "the").stdout
    # Line ends are always those of the training text.
    wanted = run(*arguments, "--prompt", "the\ncat")
    for prompt, given in (("-", b"the\r\ncat\r\n"), ("the\r\ncat", None), ("the\rcat", None)):
        assert run(*arguments, "--prompt", prompt, given=given).output == wanted.output


def test_one_blank_between_words(models: Path) -> None:
    arguments = ("--model", models / "word", "--length", "5", "--top-k", "1")
    assert run(*arguments, "--prompt", "the cat ").stdout == run(*arguments, "--prompt", "the cat").stdout


def test_unknown_characters_are_told(models: Path) -> None:
    result = run("--model", models / "char", "--prompt", "日本 a😀", "--length", "3")
    assert result.exit_code == 0
    assert "which reads <unk>: 3 of 5 characters of the prompt" in result.stderr
    assert result.stdout.startswith("日本 a😀")
    assert "2 of 3 words" in run("--model", models / "word", "--prompt", "the 日 本", "--length", "3").stderr


def test_text_comes_as_it_is_made() -> None:
    class Screen(io.StringIO):
        shown = ""

        def flush(self) -> None:
            self.shown = self.getvalue()

    screen, seen = Screen(), list[str]()

    def pieces() -> Iterator[str]:
        for piece in "abc":
            yield piece
            seen.append(screen.shown)
            time.sleep(2 * PAUSE)

    write_slowly(screen, pieces())
    assert seen == ["a", "ab", "abc"]
    assert screen.shown == "abc\n"


def test_fails(models: Path, tmp_path: Path) -> None:
    cases: list[tuple[tuple[str | Path, ...], type[Exception], str]] = [
        (("--model", models / "char", "--temperature", "-1"), ArgumentError, "temperature must be at least 0"),
        (("--model", models / "char", "--top-p", "2"), ArgumentError, "top_p must be above 0 and at most 1"),
        (("--model", models / "backward"), ArgumentError, "can't continue a prompt"),
        (("--model", tmp_path), FileFormatError, "no model at .*config.json is missing"),
    ]
    for arguments, kind, message in cases:
        result = run(*arguments)
        assert isinstance(result.exception, kind), result.output
        with pytest.raises(kind, match=message):
            raise result.exception
        assert result.stdout == ""
    assert run("--model", models / "char", "--length", "-1").exit_code == 2


def test_the_shipped_model_writes_without_one() -> None:
    said = run("--prompt", "ROMEO:", "--length", "40", "--seed", "3").stdout
    assert said.startswith("ROMEO:")
    assert len(said) == len("ROMEO:") + 40 + 1


def test_a_length_beyond_all_use_fails() -> None:
    result = run("--length", "99999999999999999999")
    assert result.exit_code == 2
    assert "--length" in result.output


def test_out(models: Path, tmp_path: Path) -> None:
    asked = ("--model", models / "char", "--length", "9")
    assert run(*asked, "--out", tmp_path / "a.txt").stdout == ""
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == run(*asked).stdout
