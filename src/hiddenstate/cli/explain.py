"""``hiddenstate explain``: one file a command; each calls the library and prints what it gives."""

import typer

from hiddenstate.cli.explain_dynamics import dynamics_command
from hiddenstate.cli.explain_sweep import sweep_command

app = typer.Typer(help="Explain what an LSTM did on a text.", no_args_is_help=True, rich_markup_mode=None)
app.command("dynamics")(dynamics_command)
app.command("sweep")(sweep_command)
