"""Where commands write to, which is checked before they read or compute anything."""

from pathlib import Path

from hiddenstate.base.files import check_place

STANDARD = "-"  # standard output


def check_outputs(*files: str | Path | None, plot: Path | None = None) -> None:
    """Refuse files that can't be written.

    Args:
        files: files of any kind; `STANDARD` is none, nor is None.
        plot: a picture.

    Raises:
        ArgumentError: it is no picture that is drawn into.
        FileNotFoundError, IsADirectoryError, FileWriteError: a file can't be written there.
    """
    for path in files:
        if path is not None and str(path) != STANDARD:
            check_place(path)
    if plot is not None:
        from hiddenstate.base.figures import check_picture  # needs matplotlib, which is optional

        check_picture(plot)
