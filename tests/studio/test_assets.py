import json
import re
from pathlib import Path

import pytest

from hiddenstate.studio import assets

IMPORT = re.compile(r'^\s*(?:import|export)\b[^;"]*from\s+"([^"]+)";?$', re.MULTILINE)


def test_names() -> None:
    scripts = assets.names(".js")
    assert {"main.js", "state/host.js", "runtime/model.js"} <= set(scripts)
    assert scripts.index("main.js") < scripts.index("state/host.js")  # the root comes first
    assert "types.js" not in scripts
    assert not any(name.startswith("hosts/") for name in scripts)
    assert assets.names(".css")[0] == "page/page.css"


def test_a_change_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.js").write_text("1")
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    first = assets.state()
    assert first == assets.state()
    (tmp_path / "app" / "a.js").write_text("12")
    second = assets.state()
    (tmp_path / "b.css").write_text("")
    assert len({first, second, assets.state()}) == 3


def test_modules_import_only_one_another() -> None:
    """So that the page can be one file: no external imports, and no relative ones."""
    known = {f"studio/{name}" for name in assets.names(".js")}
    for name in assets.names(".js"):
        source = assets.text(name)
        assert set(IMPORT.findall(source)) <= known, name
        code = re.sub(r"/\*\*.*?\*/|^\s*//[^\n]*$", "", source, flags=re.DOTALL | re.MULTILINE)
        for forbidden in ("import.meta", "import(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert forbidden not in code, f"{name} has {forbidden}"
        if name != "state/host.js":
            for forbidden in ("fetch(", "WebSocket(", "XMLHttpRequest", "localStorage", "postMessage"):
                assert forbidden not in code, f"{name} has {forbidden}"


def test_styles_ask_for_nothing() -> None:
    for name in assets.names(".css"):
        assert "@import" not in assets.text(name), name
        assert "url(" not in assets.text(name), name


def test_colours_for_light_and_dark_are_said_together() -> None:
    for name in assets.names(".css"):
        assert "prefers-color-scheme" not in assets.text(name), name
        assert assets.text(name).count('[data-theme="dark"]') == (1 if name == "page/page.css" else 0), name


def test_the_compiler_finds_the_modules_as_the_page_does() -> None:
    config = json.loads(assets.text("jsconfig.json"))
    assert config["compilerOptions"]["paths"] == {"studio/*": ["./*"]}
