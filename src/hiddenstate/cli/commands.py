"""Base classes of all commands, which format the help text and handle Ctrl-C."""

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

INTERRUPTED = 130  # the exit status that shells use

# Newer versions of typer append the Python type to an argument's name: FILE <list[str]>.
_TYPE = re.compile(r"^( +[A-Z][A-Z|.-]*)( <[\w\[\]]+>)", re.MULTILINE)


class Command(TyperCommand):
    """One command."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        return _TYPE.sub(lambda match: match[1] + " " * len(match[2]), super().get_help(ctx))


class Commands(TyperGroup):
    """All commands; Ctrl-C ends each of them silently, with any version of typer."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
