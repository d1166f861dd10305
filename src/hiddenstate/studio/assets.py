"""The page's files. They are built from the sources in ``web/`` when the package is installed."""

from pathlib import Path

from hiddenstate.errors import MissingDependencyError

PAGE = Path(__file__).parent / "dist"
SCRIPT, STYLES, LOADER, WIDGET = "studio.js", "studio.css", "loader.js", "widget.js"
INDEX_SCRIPT = "studio-index.js"  # with the pages of the index of a corpus
TEMPLATE = "index.html"
FIGURES = "figures.js"  # the runtime for the figures of the course, as a classic script


def text(name: str) -> str:
    """Return the text of one of these files."""
    try:
        return (PAGE / name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingDependencyError(
            "the studio's page is missing from this installation: it is built at installation, with packages of "
            "npm's registry, which could not be reached. Install hiddenstate again where it can be"
        ) from error


def state() -> tuple[tuple[int, int], ...]:
    """Return a key that changes when the script or the styles do."""
    stats = [path.stat() for path in (PAGE / SCRIPT, PAGE / INDEX_SCRIPT, PAGE / STYLES) if path.exists()]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
