"""Makes README's links absolute, so that its pictures and pages can be reached from a package index.

    python3 .ci/readme_for_index.py [README]

It runs in a workflow before the package is built, which provides the repository and the commit.
"""

import os
import re
import sys
from pathlib import Path

# A link or a picture whose target is a file of the repository.
LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\])\((?P<target>(?!https?:|#|mailto:)[^)\s]+)\)")


def absolute(text: str, repository: str, commit: str, server: str = "https://github.com") -> str:
    """Return the text with links into ``repository`` (owner/name) at a commit."""

    def link(match: re.Match[str]) -> str:
        kind = "raw" if match["picture"] else "blob"
        return f"{match['picture']}{match['text']}({server}/{repository}/{kind}/{commit}/{match['target']})"

    return LINK.sub(link, text)


def main() -> None:
    """Rewrite the file in place."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    env = os.environ
    text = absolute(
        path.read_text(encoding="utf-8"), env["GITHUB_REPOSITORY"], env["GITHUB_SHA"], env["GITHUB_SERVER_URL"]
    )
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
