"""The tagger and the language model. They use the library's public parts: `hiddenstate.LSTM`, traces, streams.

- `tagger/`, `language/`: the two models: architecture, predictions and training; `cells.py`: their kinds of cells
- `model_folder.py`, `weights_file.py`: a model as a folder, and its weights; `shipped/`: models that come with the package
- `model_file.py`: a model or a layer as one file, which can be read without torch
- `building.py`: creates a model if it fits into memory; kinds of dropout
- `from_modules.py`: models made from a user's embedding, LSTM and linear layer
- `training_run.py`: one training run of either model, from its run file to its folder and its card
"""

from typing import TYPE_CHECKING

from hiddenstate.base.later import on_first_use

if TYPE_CHECKING:
    from hiddenstate.models.language.config import LanguageConfig as LanguageConfig
    from hiddenstate.models.language.config import defaults_for as defaults_for
    from hiddenstate.models.language.language_model import LanguageModel as LanguageModel
    from hiddenstate.models.language.sampling import Sampling as Sampling
    from hiddenstate.models.language.scoring import Dynamic as Dynamic
    from hiddenstate.models.language.scoring import Scored as Scored
    from hiddenstate.models.language.scoring import Tally as Tally
    from hiddenstate.models.language.scoring import measure as measure
    from hiddenstate.models.language.scoring import score as score
    from hiddenstate.models.language.softmax import AdaptiveSoftmax as AdaptiveSoftmax
    from hiddenstate.models.language.training import LanguageTraining as LanguageTraining
    from hiddenstate.models.language.training import resume_language_model as resume_language_model
    from hiddenstate.models.language.training import train_language_model as train_language_model
    from hiddenstate.models.model_folder import shipped as shipped
    from hiddenstate.models.tagger.accuracy import Accuracy as Accuracy
    from hiddenstate.models.tagger.accuracy import Calibration as Calibration
    from hiddenstate.models.tagger.accuracy import Report as Report
    from hiddenstate.models.tagger.accuracy import TagAccuracy as TagAccuracy
    from hiddenstate.models.tagger.accuracy import distinct_words as distinct_words
    from hiddenstate.models.tagger.accuracy import evaluate as evaluate
    from hiddenstate.models.tagger.accuracy import fitted_temperatures as fitted_temperatures
    from hiddenstate.models.tagger.accuracy import plot_reports as plot_reports
    from hiddenstate.models.tagger.config import TaggerConfig as TaggerConfig
    from hiddenstate.models.tagger.context_vectors import ContextualVectors as ContextualVectors
    from hiddenstate.models.tagger.decoding import Chain as Chain
    from hiddenstate.models.tagger.tagger import Tagger as Tagger
    from hiddenstate.models.tagger.tagging import Guess as Guess
    from hiddenstate.models.tagger.tagging import Reading as Reading
    from hiddenstate.models.tagger.tagging import Tagging as Tagging
    from hiddenstate.models.tagger.tagging import Tags as Tags
    from hiddenstate.models.tagger.training import TAGGER_RUN as TAGGER_RUN
    from hiddenstate.models.tagger.training import Training as Training
    from hiddenstate.models.tagger.training import resume_tagger as resume_tagger
    from hiddenstate.models.tagger.training import train_tagger as train_tagger

# The public names, imported on first use, so that settings can be read without torch.
__getattr__ = on_first_use(
    __name__,
    {
        "Accuracy": "tagger.accuracy",
        "AdaptiveSoftmax": "language.softmax",
        "Calibration": "tagger.accuracy",
        "Chain": "tagger.decoding",
        "ContextualVectors": "tagger.context_vectors",
        "Dynamic": "language.scoring",
        "Guess": "tagger.tagging",
        "LanguageConfig": "language.config",
        "LanguageModel": "language.language_model",
        "LanguageTraining": "language.training",
        "Reading": "tagger.tagging",
        "Report": "tagger.accuracy",
        "Sampling": "language.sampling",
        "Scored": "language.scoring",
        "TAGGER_RUN": "tagger.training",
        "TagAccuracy": "tagger.accuracy",
        "Tagger": "tagger.tagger",
        "TaggerConfig": "tagger.config",
        "Tagging": "tagger.tagging",
        "Tags": "tagger.tagging",
        "Tally": "language.scoring",
        "Training": "tagger.training",
        "defaults_for": "language.config",
        "distinct_words": "tagger.accuracy",
        "evaluate": "tagger.accuracy",
        "fitted_temperatures": "tagger.accuracy",
        "measure": "language.scoring",
        "plot_reports": "tagger.accuracy",
        "resume_language_model": "language.training",
        "resume_tagger": "tagger.training",
        "score": "language.scoring",
        "shipped": "model_folder",
        "train_language_model": "language.training",
        "train_tagger": "tagger.training",
    },
)
