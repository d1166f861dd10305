"""Joins the page's modules into one script, because fetching two hundred modules takes longer than running them."""

import re
from collections.abc import Iterator, Mapping

_IMPORT = re.compile(r'^import (?P<names>\{[^}]*\}|\* as \w+) from "studio/(?P<module>[^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?:(?P<one>(?:(?:async )?function\*?|class|const) (?P<name>\w+))|"
    r"(?P<several>const \[(?P<list>[\w, ]+)\])|\{ (?P<names>[\w, ]+) \};$)",
    re.MULTILINE,
)
_OTHER = re.compile(r"^(import|export)\b.*", re.MULTILINE)


def joined(modules: Mapping[str, str]) -> str:
    """Return one script with all modules, each a function that is called after those that it imports.

    Args:
        modules: their texts by name. They import one another by name, from ``studio/NAME``, without cycles.

    Raises:
        ValueError: there is an import cycle, or a module imports or exports in an unsupported form.
    """
    numbers: dict[str, int] = {}
    scripts: list[str] = []

    def add(name: str, importing: tuple[str, ...] = ()) -> None:
        if name in importing:
            raise ValueError(f"modules import one another in a cycle: {' '.join((*importing, name))}")
        if name in numbers:
            return
        source = modules[name]
        for each in _IMPORT.finditer(source):
            add(each["module"], (*importing, name))
        numbers[name] = len(numbers)
        scripts.append(_as_function(name, source, numbers))

    for name in modules:
        add(name)
    return "\n".join(scripts)


def _as_function(name: str, source: str, numbers: Mapping[str, int]) -> str:
    exported: list[str] = []

    def imported(found: re.Match[str]) -> str:
        names, number = found["names"], numbers[found["module"]]
        pattern = names.removeprefix("* as ") if names.startswith("*") else names.replace(" as ", ": ")
        return f"const {pattern} = studio{number};"

    def plain(found: re.Match[str]) -> str:
        names = found["name"] or found["list"] or found["names"]
        exported.extend(each.strip() for each in names.split(","))
        return found["one"] or found["several"] or ""

    body = _EXPORT.sub(plain, _IMPORT.sub(imported, source))
    other = _OTHER.search(body)
    if other is not None:
        raise ValueError(f"{name}: cannot join {other[0]!r}")
    return f"const studio{numbers[name]} = (() => {{ // {name}\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"


def without_comments(source: str) -> str:
    """Remove a module's comment lines, which are only for readers of the source."""
    return "\n".join(_code(source.split("\n")))


def _code(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        text = line.strip()
        if inside:
            inside = not text.endswith("*/")
        elif text.startswith("/**") and "*/" not in text:
            inside = True
        elif not text.startswith("//") and not (text.startswith("/**") and text.endswith("*/")):
            yield line
