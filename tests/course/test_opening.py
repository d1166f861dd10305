"""`hiddenstate course`: the pages of the installed package."""

import sys
import webbrowser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hiddenstate import errors
from hiddenstate.cli import app
from hiddenstate.course import opening
from hiddenstate.course.figures.marks import MODELS

HTML = b"<h1>0</h1>"


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pages that replace those of a wheel, and a separate cache."""
    pages = tmp_path / "site-packages" / "pages"
    first = pages / opening.FIRST
    first.parent.mkdir(parents=True)
    first.write_bytes(HTML)
    monkeypatch.setattr(opening, "PAGES", pages)
    monkeypatch.setattr(opening, "cache", lambda: tmp_path / "cache")
    return pages


def test_the_path_of_the_first_page_is_printed(shipped: Path) -> None:
    result = CliRunner().invoke(app, ["course", "--no-browser"])
    assert result.exit_code == 0, result.output
    page = Path(result.stdout.strip())
    assert page.read_bytes() == HTML
    assert {path.name for path in page.parents[1].rglob("model-*.js")} == {f"model-{name}.js" for name in MODELS}


@pytest.mark.parametrize("opens", [True, False])
def test_the_first_page_is_opened_in_the_browser(shipped: Path, monkeypatch: pytest.MonkeyPatch, opens: bool) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) or opens)  # type: ignore[func-returns-value]
    result = CliRunner().invoke(app, ["course"])
    assert result.exit_code == 0
    assert asked == [opening.first_page().as_uri()]
    assert ("no browser could be started" in result.output) != opens


def test_a_copy_is_written_once_and_again_when_the_package_changes(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opening.first_page()
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_write", lambda *given: pytest.fail("it was up to date"))
        assert opening.first_page() == page
    (shipped / opening.FIRST).write_bytes(b"<h1>1</h1>")
    (shipped / "new.html").write_bytes(b"")
    assert opening.first_page().read_bytes() == b"<h1>1</h1>"
    assert (page.parents[1] / "new.html").exists()


def test_an_update_that_fails_leaves_the_earlier_copy(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opening.first_page()
    (shipped / opening.FIRST).write_bytes(b"<h1>1</h1>")

    def fails(place: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(opening, "write_bytes", fails)
    with pytest.raises(errors.FileWriteError, match="No space left"):
        opening.first_page()
    assert page.read_bytes() == HTML
    assert [path.name for path in page.parents[2].iterdir()] == ["course"]


def test_an_installation_without_pages_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "PAGES", tmp_path / "pages")
    result = CliRunner().invoke(app, ["course", "--no-browser"])
    assert isinstance(result.exception, errors.MissingDependencyError)
    assert "make pages" in str(result.exception)
    assert "pip install --verbose" in str(result.exception)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="where the cache is elsewhere")
def test_the_cache_is_where_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert opening.cache() == tmp_path / "hiddenstate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert opening.cache() == Path.home() / ".cache" / "hiddenstate"
