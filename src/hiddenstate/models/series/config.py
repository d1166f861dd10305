"""Every setting of a series model that is trained from a file."""

from dataclasses import dataclass

from hiddenstate.errors import ArgumentError
from hiddenstate.models.cells import CELL_NAMES
from hiddenstate.training.settings import TrainConfig, choice, number


@dataclass(frozen=True)
class SeriesConfig(TrainConfig):
    """Columns, split, sizes and rates of a forecaster, and the settings of `TrainConfig`, some with different defaults.

    Attributes:
        target: the columns to forecast.
        features: the columns to read; by default all columns of numbers.
        dates: the column of the dates; by default the only one.
        rows: the column that names the rows, such as stations; by default there is one row.
        units: the units of columns, such as ``flow=m3/s``.
        missing: what replaces a missing value of a feature: a number, or ``previous``; refused by default.
        gaps: what to do if dates are missing: ``refuse``, ``insert`` or ``join``.
        window: the number of steps that are read for a forecast.
        horizon: the number of steps after the window that are forecast.
        dev_from: the date or the number of the first step of the dev part; by default, ``dev_share`` decides.
        test_from: the date or the number of the first step of the test part, which is not used for training or
            selection; by default, ``test_share`` decides.
        dev_share: the share of the steps in the dev part.
        test_share: the share of the steps in the test part, the last ones; 0 for none.
        hidden_size: hidden units of each layer.
        num_layers: the number of layers.
        cell: the kind of recurrent cells: ``lstm``, ``gru``, ``rnn`` (tanh) or ``rnn_relu``.
        batch_windows: the number of windows in a batch.
    """

    epochs: int = number(60, least=1)
    patience: int = number(12, least=1)
    warmup_steps: int = number(20, least=0)
    clip_norm: float = number(1.0, least=0)
    target: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    dates: str = ""
    rows: str = ""
    units: tuple[str, ...] = ()
    missing: str = ""
    gaps: str = choice("refuse", "insert", "join")
    window: int = number(30, least=1, below=2**20)
    horizon: int = number(1, least=1, below=2**20)
    dev_from: str = ""
    test_from: str = ""
    dev_share: float = number(0.15, above=0, below=1)
    test_share: float = number(0.15, least=0, below=1)
    hidden_size: int = number(32, least=1)
    num_layers: int = number(1, least=1, below=1025)
    cell: str = choice(*CELL_NAMES)
    batch_windows: int = number(64, least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for names, what in ((self.target, "target"), (self.features, "features")):
            if doubled := [name for name in names if names.count(name) > 1]:
                raise ArgumentError(f"{what} names {doubled[0]!r} twice")
        if wrong := [unit for unit in self.units if not all(unit.partition("="))]:
            raise ArgumentError(f"units must be such as flow=m3/s, got {wrong[0]!r}")
        if self.missing not in ("", "previous"):
            try:
                float(self.missing)
            except ValueError as error:
                raise ArgumentError(f"missing must be a number or previous, got {self.missing!r}") from error
        if self.dev_share + self.test_share >= 1:
            raise ArgumentError("dev_share and test_share leave nothing to train on: their sum must be below 1")

    @property
    def fill(self) -> "float | str | None":
        """What stands for a missing value, as `SeriesModel.prepare` takes it."""
        return self.missing if self.missing == "previous" else float(self.missing) if self.missing else None
