"""``hiddenstate explain``: explains what the values of a run mean, with one command per tool."""

import typer

from hiddenstate.cli.commands import Command
from hiddenstate.cli.explain_attribute import attribute
from hiddenstate.cli.explain_command import explaining
from hiddenstate.cli.explain_compare import compare
from hiddenstate.cli.explain_dynamics import default_model, dynamics
from hiddenstate.cli.explain_graph import graph
from hiddenstate.cli.explain_ledger import ledger
from hiddenstate.cli.explain_sweep import sweep

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def explain() -> None:
    """Explain what a model does with a text: which words decided the result, and which wrote what it remembers."""


for command in (attribute, compare, graph, ledger, sweep):
    app.command(cls=Command)(explaining(command))
app.command(cls=Command)(explaining(dynamics, default_model))
