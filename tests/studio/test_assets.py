import re
from pathlib import Path

import pytest
from studio_page import WEB

import hiddenstate as hs
from hiddenstate.errors import MissingDependencyError
from hiddenstate.studio import assets
from studio.test_rooms import ROOMS, sources

# What reaches outside the page, and what writes text as markup.
OUTSIDE = ("fetch(", "WebSocket(", "XMLHttpRequest", "localStorage", "postMessage")
MARKUP = ("import.meta", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write")
FROM = re.compile(r'^(?:import|export)\b[^;"]*from\s+"([^"]+)";$', re.MULTILINE)
LIBRARIES = {"preact", "preact/hooks", "@preact/signals", "@noble/hashes/blake2b", "@noble/hashes/utils"}
COMMENT = re.compile(r"/\*\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)


def styles() -> dict[str, str]:
    paths = [path for room in ROOMS for path in (WEB / room).rglob("*.css")]
    return {path.relative_to(WEB).as_posix(): path.read_text() for path in paths}


def test_a_page_that_was_not_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "PAGE", tmp_path)
    with pytest.raises(MissingDependencyError, match="the studio's page is missing from this installation"):
        hs.studio(hs.LSTM(2, 3)).html()


def test_a_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "PAGE", tmp_path)
    states = [assets.state()]
    for name, text in ((assets.SCRIPT, "1"), (assets.SCRIPT, "12"), (assets.STYLES, "")):
        (tmp_path / name).write_text(text)
        states.append(assets.state())
    assert states[-1] == assets.state()
    assert len({*states}) == 4


def test_modules_import_only_one_another() -> None:
    modules = sources()
    for name, source in modules.items():
        assert set(FROM.findall(source)) <= {f"studio/{module}" for module in modules} | LIBRARIES, name
        code = COMMENT.sub("", source)
        for forbidden in MARKUP if name == "state/host.js" else (*MARKUP, *OUTSIDE):
            assert forbidden not in code, f"{name} has {forbidden}"


def test_styles_ask_for_nothing() -> None:
    for name, text in styles().items():
        assert "@import" not in text, name
        assert "url(" not in text, name


def test_the_page_is_styled_before_its_panels() -> None:
    """The panels' styles build on it."""
    built = assets.text(assets.STYLES)
    assert built.startswith(":root{")


def test_colours_for_light_and_dark_are_declared_together() -> None:
    for name, text in styles().items():
        assert "prefers-color-scheme" not in text, name
        assert text.count('[data-theme="dark"]') == (1 if name == "page/page.css" else 0), name
