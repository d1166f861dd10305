"""The Dockerfile of the page on deployment, and its server."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from test_installation import NO_COMPILER, run

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "examples" / "deploy"
INSTRUCTIONS = re.findall(r"^([A-Z]+) (.+)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
BUILDER = next(filter(shutil.which, ("docker", "podman", "buildah")), None)


def copied() -> list[str]:
    """The files that the Dockerfile copies from the checkout."""
    lines = [arguments.split() for name, arguments in INSTRUCTIONS if name == "COPY" and "--from" not in arguments]
    return [source for *sources, _ in lines for source in sources]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_the_dockerfile_copies_all_that_the_build_needs(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core")
    for name in copied():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path / name)
        else:
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = re.findall(r"(?<!/)native/[\w/]+\.cpp", (tmp_path / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert len(sources) > 5
    assert [name for name in sources if not (tmp_path / name).is_file()] == []
    built = run("from scikit_build_core.build import build_wheel; build_wheel('wheels')", at=tmp_path, **NO_COMPILER)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        assert "hiddenstate/models/shipped/tagger-en/weights.safetensors" in file.namelist()


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")
def test_the_dockerfiles_commands_are_of_the_shell_and_of_pip(tmp_path: Path) -> None:
    commands = [arguments for name, arguments in INSTRUCTIONS if name == "RUN"]
    assert len(commands) == 4
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nfor each in "$@"; do echo "$each"; done\n')
    pip.chmod(0o755)
    environment = {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]])}

    def asked(command: str, **more: str) -> list[str]:
        done = subprocess.run(
            ["sh", "-ec", command], env=environment | more, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    (torch_line,) = [command for command in commands if " torch " in command]
    assert asked(torch_line) == ["install", "--no-cache-dir", "torch"]
    assert asked(torch_line, TORCH_INDEX="there")[-2:] == ["--index-url", "there"]
    for command in commands:
        if "pip " in command:
            checked = [sys.executable, "-m", "pip", *asked(command)[:1], "--help"]
            options = subprocess.run(checked, capture_output=True, text=True, check=True).stdout
            assert all(word in options for word in re.findall(r"--[a-z-]+", command))


def test_the_server_tags_what_is_posted() -> None:
    command = [sys.executable, str(DEPLOY / "serve.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split()[-1])
            address = f"http://127.0.0.1:{port}/"
            with urlopen(address, timeout=60) as answer:
                assert json.load(answer) == {"ready": True}
            with urlopen(address, b"She saw the saw.", timeout=60) as answer:
                found = json.load(answer)
            with pytest.raises(HTTPError, match="413"):
                urlopen(address, b"a" * 20_000, timeout=60)
        finally:
            server.terminate()
    assert found["words"] == ["She", "saw", "the", "saw", "."]
    assert found["tags"] == ["PRON", "VERB", "DET", "NOUN", "PUNCT"]


@pytest.mark.skipif(BUILDER is None, reason="no docker, podman or buildah")
def test_the_image_builds() -> None:
    assert BUILDER is not None
    command = [BUILDER, "build", "-f", str(DEPLOY / "Dockerfile"), "-t", "hiddenstate-deploy-test", str(ROOT)]
    subprocess.run(command, check=True, timeout=1800)
