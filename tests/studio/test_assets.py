import json
import re

import pytest

from hiddenstate.studio import assets

IMPORT = re.compile(r'^\s*(?:import|export)\b[^;"]*from\s+"([^"]+)";?$', re.MULTILINE)


def test_names() -> None:
    scripts = assets.names(".js")
    assert {"main.js", "app/host.js", "runtime/model.js"} <= set(scripts)
    assert scripts.index("main.js") < scripts.index("app/host.js")  # what is nearer to the root comes first
    assert "types.js" not in scripts
    assert not any(name.startswith("hosts/") for name in scripts)
    assert assets.names(".css")[0] == "app.css"


def test_read() -> None:
    asset = assets.read("main.js")
    assert asset is not None
    assert asset.content == (assets.STATIC / "main.js").read_bytes()
    assert asset.media_type.startswith("text/javascript")


@pytest.mark.parametrize(
    "name",
    [
        "../server.py",
        "..%2fserver.py",
        "app/../../server.py",
        "/etc/passwd.js",
        "//main.js",
        "app//host.js",
        "app\\host.js",
        "main.js\n",
        "main.js\0",
        "MAIN.JS",
        "index.html",
        "jsconfig.json",
        "types.js",
        "hosts/loader.js",
        "app",
        "app/none.js",
        "",
        ".js",
    ],
)
def test_read_fails(name: str) -> None:
    assert assets.read(name) is None


def test_a_link_out_of_the_folder_is_found_under_no_name_with_dots() -> None:
    assert not any(".." in name or name.startswith("/") for name in assets.names(".js"))


def test_modules_import_only_one_another() -> None:
    """So that the page can be one file: nothing is asked from elsewhere, and nothing relative."""
    known = {f"studio/{name}" for name in assets.names(".js")}
    for name in assets.names(".js"):
        source = assets.text(name)
        assert set(IMPORT.findall(source)) <= known, name
        code = re.sub(r"/\*\*.*?\*/|^\s*//.*$", "", source, flags=re.DOTALL | re.MULTILINE)
        for forbidden in ("import.meta", "import(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"):
            assert forbidden not in code, f"{name} has {forbidden}"
        if name != "app/host.js":
            for forbidden in ("fetch(", "WebSocket(", "XMLHttpRequest", "localStorage", "postMessage"):
                assert forbidden not in code, f"{name} has {forbidden}"


def test_styles_ask_for_nothing() -> None:
    for name in assets.names(".css"):
        assert "@import" not in assets.text(name), name
        assert "url(" not in assets.text(name), name


def test_the_compiler_finds_the_modules_as_the_page_does() -> None:
    config = json.loads(assets.text("jsconfig.json"))
    assert config["compilerOptions"]["paths"] == {"studio/*": ["./*"]}
