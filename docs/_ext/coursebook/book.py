"""The course by itself as a small site, which the package ships: the build backend and ``make pages`` run this file.

It has no search, no index and no sources, and building it needs neither torch nor an installed hiddenstate. The models
of its figures, which the package has already, and the parts of the pages that are computed are added by
`hiddenstate.course.opening` when the course is opened.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from coursebook.pages import PAGES, ROOT, course_pages

SHIPPED = ROOT / "src" / "hiddenstate" / "course" / "pages"
_INDEX = "# The course\n\n```{toctree}\n"
_SETTINGS = """
html_title = "Inside LSTMs"
html_sidebars = {"**": [f"sidebar/{part}.html" for part in ("brand", "scroll-start", "navigation", "scroll-end")]}
html_use_index = html_show_sphinx = course_computed = False
"""
_LEFT_OUT = (
    *("_sources", "search.html", "searchindex.js", "objects.inv", ".buildinfo"),
    *("_static/searchtools.js", "_static/language_data.js", "_static/*stemmer.js", "_static/*.png"),
    *("_static/scripts/*.map", "_static/scripts/*.LICENSE.txt", "_static/styles/*.map"),
)


def build(folder: Path) -> Path:
    """Build the site in an empty folder, with the settings of the documentation, and return the site's own folder.

    Raises:
        subprocess.CalledProcessError: Sphinx fails or warns; it has printed why.
    """
    source, site = folder / "docs", folder / "site"
    source.mkdir()
    for name in ("_static", "_ext", "course"):
        shutil.copytree(PAGES.parent / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    settings = (PAGES.parent / "conf.py").read_text(encoding="utf-8")
    (source / "conf.py").write_text(settings + _SETTINGS, encoding="utf-8")
    contents = "\n".join(f"course/{page.stem}" for page in course_pages())
    (source / "index.md").write_text(f"{_INDEX}{contents}\n```\n", encoding="utf-8")
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(folder / "doctrees")]
    subprocess.run([sys.executable, "-m", "sphinx", *options, str(source), str(site)], check=True)
    for pattern in _LEFT_OUT:
        for path in list(site.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return site


def main() -> None:
    """Build the site and put it into the package, in place of an earlier one."""
    with tempfile.TemporaryDirectory() as folder:
        site = build(Path(folder))
        if SHIPPED.exists():
            shutil.rmtree(SHIPPED)
        shutil.copytree(site, SHIPPED)
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    print(f"wrote {size / 1e6:.1f} MB to {SHIPPED.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
