"""A suite: its source, its version, and how to run it. `suites.toml` lists them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("suites.toml")


@dataclass(frozen=True)
class Suite:
    """Other people's tests that use recurrent layers.

    Attributes:
        name: the name that selects it.
        source: the git repository with the tests; "" if the installed package contains them.
        tag: its tag.
        only: the only folders to fetch from a large repository.
        package: the distribution that is tested; "" if there is none, so that the commit is the version.
        install: packages for pip to install, in addition to torch and those already there.
        folder: the folder of the repository in which pytest runs.
        tests: arguments of pytest; ``{suites}`` is the folder of this file.
        untested: the reason, if none of its tests can be run.
        recipe: a script whose ``register()`` is called when layers are converted, as the documentation tells users to
            do; relative to the root of this project.
        why: why results differ from torch's, by way; for the table.
    """

    name: str
    package: str = ""
    tests: tuple[str, ...] = ()
    untested: str = ""
    source: str = ""
    tag: str = ""
    only: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    folder: str = "."
    recipe: str = ""
    why: Mapping[str, str] = field(default_factory=dict)


def read(path: Path = FILE) -> dict[str, Suite]:
    """Read the suites of a file, by name."""
    with path.open("rb") as file:
        tables: dict[str, dict[str, Any]] = tomllib.load(file)
    return {name: _suite(name, table) for name, table in tables.items()}


def _suite(name: str, table: dict[str, Any]) -> Suite:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Suite(name=name, **values)
