"""A suite: whose tests, of which version, and how they are run. `suites.toml` lists them."""

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
    """Tests of other people that use LSTMs.

    Attributes:
        name: under which it is asked for.
        source: the git repository with the tests; "" where the installed package holds them.
        tag: the tag of it.
        only: folders of a large repository, of which no other is fetched.
        package: the distribution that is tested; "" where there is none, and the commit tells the version.
        install: what pip installs beside torch and what is there already.
        folder: where in the repository pytest runs.
        tests: what pytest is given; ``{suites}`` is the folder of this file.
        untested: why none of its tests runs.
        recipe: a script whose ``register()`` is called where LSTMs are converted, as the documentation tells users to;
            from the root of this project.
        why: why a way does not give what torch gives, by way; for the table.
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
