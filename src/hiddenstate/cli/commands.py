"""What every command of the command line has: how it shows its help, and how Ctrl-C ends it."""

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

INTERRUPTED = 130  # as shells say it

# Newer versions of typer write Python's type behind an argument's own name: FILE <list[str]>.
_TYPE = re.compile(r"^( +[A-Z][A-Z|.-]*)( <[\w\[\]]+>)", re.MULTILINE)


class Command(TyperCommand):
    """One command."""

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        return _TYPE.sub(lambda match: match[1] + " " * len(match[2]), super().get_help(ctx))


class Commands(TyperGroup):
    """All commands; Ctrl-C ends each without a word, whatever version of typer runs it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
