"""The report of a conversion: the recurrent layers that were converted, and those that were left unchanged."""

from dataclasses import dataclass

from hiddenstate.structure.tables import table


@dataclass(frozen=True)
class Converted:
    """One module that was converted.

    Attributes:
        paths: its paths in the model; the model itself is ``""``.
        was: its previous class. became: its class now.
        sizes: its options, as torch prints them.
        parameters: its number of parameters, counting those from which parametrized weights are computed.
        tied: names of parameters elsewhere in the model that are shared with it.
    """

    paths: tuple[str, ...]
    was: str
    became: str
    sizes: str
    parameters: int
    tied: tuple[str, ...]


@dataclass(frozen=True)
class Left:
    """One module that was left unchanged, or keeps float weights: its paths, its class and the reason."""

    paths: tuple[str, ...]
    was: str
    reason: str


@dataclass(frozen=True)
class ConversionReport:
    """The report of `hiddenstate.convert` or `hiddenstate.convert_back`; ``print`` shows it as a table.

    Attributes:
        converted: the modules that were converted.
        left: recurrent layers and cells that were left unchanged.
        kept_float: with ``weights="int8"``, those whose class is now ours, but whose weights stay floats.
    """

    converted: tuple[Converted, ...]
    left: tuple[Left, ...]
    kept_float: tuple[Left, ...] = ()

    def __str__(self) -> str:
        total = len(self.converted) + len(self.left)
        if not total and not self.kept_float:
            return "Nothing to convert: the model holds no LSTM, GRU or RNN that is not already of the requested kind."
        lines = [f"{len(self.converted)} of {total} modules converted"]
        if self.converted:
            lines += ["", table(_HEAD, [_row(module) for module in self.converted], "llllrl")]
        for title, modules in (("left as they are", self.left), ("kept in floats", self.kept_float)):
            if modules:
                rows = [(named(module.paths[0]), module.was, module.reason) for module in modules]
                lines += ["", title, table(("path", "what", "why"), rows, "lll")]
        return "\n".join(lines)


_HEAD = ("path", "was", "is now", "sizes", "parameters", "shared with")


def _row(layer: Converted) -> tuple[str, ...]:
    shared = ", ".join([*map(named, layer.paths[1:]), *layer.tied])
    return named(layer.paths[0]), layer.was, layer.became, layer.sizes, f"{layer.parameters:,}", shared


def named(path: str) -> str:
    """Format a module's path for display."""
    return path or "(the model)"
