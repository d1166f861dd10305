"""Measures a tagger's accuracy and confidence.

- `accuracy.py`: accuracy overall, on unknown words, tag by tag
- `calibration.py`: how well its confidence is calibrated, and a temperature that calibrates it
- `report_plot.py`: pictures of both
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.models.tagger.evaluation.accuracy import Accuracy as Accuracy
    from hiddenstate.models.tagger.evaluation.accuracy import Report as Report
    from hiddenstate.models.tagger.evaluation.accuracy import TagAccuracy as TagAccuracy
    from hiddenstate.models.tagger.evaluation.accuracy import distinct_words as distinct_words
    from hiddenstate.models.tagger.evaluation.accuracy import evaluate as evaluate
    from hiddenstate.models.tagger.evaluation.accuracy import fitted_temperatures as fitted_temperatures
    from hiddenstate.models.tagger.evaluation.calibration import Calibration as Calibration
    from hiddenstate.models.tagger.evaluation.report_plot import plot_reports as plot_reports

# Imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "Accuracy": "accuracy",
        "Calibration": "calibration",
        "Report": "accuracy",
        "TagAccuracy": "accuracy",
        "evaluate": "accuracy",
        "fitted_temperatures": "accuracy",
        "plot_reports": "report_plot",
        "distinct_words": "accuracy",
    },
)
