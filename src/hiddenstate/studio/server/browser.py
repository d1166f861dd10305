"""Opens the page in a browser without putting its address, which ends in the secret, on a command line."""

import contextlib
import html
import os
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path

_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>hiddenstate studio</title>
<p><a href="{url}">Open the studio</a></p>
"""


def open_browser(url: str, cleanup: contextlib.ExitStack) -> bool:
    """Open ``url`` in a browser.

    Every user of a machine can list the arguments of its processes, so the browser gets the name of a private file that
    redirects to ``url``. The browser may read the file at any time, so it is deleted only by ``cleanup``.

    Returns:
        Whether a browser was started.
    """
    try:
        return webbrowser.open(cleanup.enter_context(redirect(url)))
    except (webbrowser.Error, OSError):  # OSError if there is nowhere to write the file
        return False


@contextlib.contextmanager
def redirect(url: str) -> Iterator[str]:
    """Write an HTML file that only this user can read and that redirects to ``url``; yield the file's own URL."""
    handle, name = tempfile.mkstemp(".html", "hiddenstate-studio-")  # mkstemp creates it with mode 0600
    os.close(handle)
    file = Path(name)
    try:
        file.write_text(_REDIRECT.format(url=html.escape(url)), encoding="utf-8")
        yield file.as_uri()
    finally:
        file.unlink(missing_ok=True)
