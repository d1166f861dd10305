"""One layer in one direction: the unit in which torch stacks an LSTM's weights and states."""

from typing import NamedTuple


class LayerDirection(NamedTuple):
    """One layer in one direction; it equals the tuple ``(layer, reverse)``.

    >>> LayerDirection(1, reverse=True).name
    'l1r'
    """

    layer: int
    reverse: bool

    @property
    def name(self) -> str:
        """The prefix of places: ``l0``, or ``l0r`` for the reverse direction."""
        return f"l{self.layer}{'r' if self.reverse else ''}"

    @property
    def suffix(self) -> str:
        """The suffix of torch's parameter names: ``_l0``, or ``_l0_reverse`` for the reverse direction."""
        return f"_l{self.layer}{'_reverse' if self.reverse else ''}"

    def order(self, T: int) -> range:
        """Return the steps of a sequence of ``T`` steps in the order in which this direction reads them."""
        return reading_order(T, self.reverse)


def reading_order(T: int, reverse: bool) -> range:
    """Return the steps of a sequence of ``T`` steps in the order in which one direction reads them."""
    return range(T - 1, -1, -1) if reverse else range(T)


def layer_directions(num_layers: int, bidirectional: bool) -> list[LayerDirection]:
    """Return every layer and direction in the order in which torch stacks them in ``h_n``.

    >>> [each.name for each in layer_directions(2, bidirectional=True)]
    ['l0', 'l0r', 'l1', 'l1r']
    """
    directions = (False, True) if bidirectional else (False,)
    return [LayerDirection(layer, reverse) for layer in range(num_layers) for reverse in directions]
