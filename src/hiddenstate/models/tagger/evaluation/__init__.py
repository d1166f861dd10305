"""How well a tagger tags.

- `accuracy.py`: accuracy overall, on unknown words, tag by tag
- `calibration.py`: how well its confidence is calibrated, and a temperature that calibrates it
- `report_plot.py`: pictures of both
"""

from hiddenstate.models.tagger.evaluation.accuracy import (
    Accuracy,
    Report,
    TagAccuracy,
    evaluate,
    fitted_temperatures,
    words_of,
)
from hiddenstate.models.tagger.evaluation.calibration import Calibration
from hiddenstate.models.tagger.evaluation.report_plot import plot_reports

__all__ = [
    "Accuracy",
    "Calibration",
    "Report",
    "TagAccuracy",
    "evaluate",
    "fitted_temperatures",
    "plot_reports",
    "words_of",
]
