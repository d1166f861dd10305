import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

import hiddenstate as hs
from hiddenstate.models.model_folder import save, shipped
from hiddenstate.studio import assets
from hiddenstate.studio.bundles.bundle import Bundle
from hiddenstate.studio.page import offline_page, packed, write_page
from language_models import make
from studio.test_html import EVIL, Elements

ALLOWED = 250_000  # bytes of the page without its model
SPREAD = 1.4  # the ratio of a model's size as text to its size in bytes


def unpacked(text: str) -> Any:
    return zlib.decompress(base64.b64decode(text), -zlib.MAX_WBITS)


def test_everything_is_in_it() -> None:
    bundle = Bundle("lstm", EVIL, {"input_size": 4}, b"\x00\x01" * 100)
    found = Elements(offline_page({"ours": bundle}, {"text": EVIL}))
    boot = json.loads(found.data["boot"])
    assert (boot["host"], boot["view"], boot["live"]) == ("file", {"text": EVIL}, "")
    parts = json.loads(found.data["bundle-ours"])
    assert json.loads(unpacked(parts["head"]))["name"] == EVIL
    assert unpacked(parts["weights"]) == bundle.weights
    code = json.loads(unpacked(found.data["code"]))
    assert code == {"script": assets.text(assets.SCRIPT), "styles": assets.text(assets.STYLES)}
    assert found.tags.count("script") == 4


def test_the_policy_allows_no_network() -> None:
    page = offline_page({}, {})
    policy = page.split('http-equiv="Content-Security-Policy" content="', 1)[1].split('"', 1)[0].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'; ")
    assert "connect-src" not in policy  # so the default applies: none
    assert "http" not in policy
    assert "unsafe" not in policy
    assert page.index("Content-Security-Policy") < page.index("<script")


@pytest.mark.parametrize("name", ["tagger", "language model"])
def test_its_size(name: str, tmp_path: Path) -> None:
    folder = shipped()
    if name != "tagger":
        folder = tmp_path / "model"
        save(make(hidden_size=400, weights_dtype="float16"), folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    page = hs.studio(folder).html().encode()
    assert len(page) <= SPREAD * size + ALLOWED


def test_packed() -> None:
    content = bytes(range(256)) * 10
    assert unpacked(packed(content)) == content
    assert "<" not in packed(content)


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "view.html"
    target.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_page(target, "\udc00")
    assert target.read_text() == "before"
    write_page(target, "é\n")
    assert target.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_page(tmp_path / "none" / "view.html", "")
